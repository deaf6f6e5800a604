-- SPDX-License-Identifier: Apache-2.0
-- status: 400
PRAGMA writable_schema = ON
