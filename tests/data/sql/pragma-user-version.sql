-- SPDX-License-Identifier: Apache-2.0
-- status: 400
PRAGMA user_version = 7
