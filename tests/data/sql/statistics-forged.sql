-- SPDX-License-Identifier: Apache-2.0
-- status: 200
CREATE TABLE t(a, b);
CREATE INDEX i ON t(a, b);
ANALYZE;
INSERT INTO sqlite_stat1 VALUES('t', 'i', '999999999999999999999 -1 x unordered sz=0 noskipscan');
INSERT INTO sqlite_stat1 VALUES('t', 'i', NULL);
ANALYZE sqlite_schema;
SELECT * FROM t WHERE a = 1 AND b > 2
