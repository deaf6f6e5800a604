-- SPDX-License-Identifier: Apache-2.0
-- status: 200
PRAGMA optimize
