-- SPDX-License-Identifier: Apache-2.0
-- status: 200 400
CREATE TABLE t(a);
INSERT INTO t VALUES('a'), ('A');
CREATE INDEX i ON t(a) WHERE a LIKE 'A';
PRAGMA case_sensitive_like = ON;
DELETE FROM t;
PRAGMA quick_check
