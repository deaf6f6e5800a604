-- SPDX-License-Identifier: Apache-2.0
-- status: 400
INSERT INTO sqlite_master VALUES('table', 'x', 'x', 2, 'CREATE TABLE x(a)')
