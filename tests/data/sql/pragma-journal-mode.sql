-- SPDX-License-Identifier: Apache-2.0
-- status: 400
PRAGMA journal_mode = OFF
