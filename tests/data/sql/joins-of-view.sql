-- SPDX-License-Identifier: Apache-2.0
-- status: 200 400 504
CREATE TABLE t(a);
CREATE VIEW v AS SELECT a.a FROM t a, t b, t c, t d;
CREATE VIEW w AS SELECT a.a FROM v a, v b, v c;
CREATE VIEW x AS SELECT a.a FROM w a, w b, w c;
SELECT * FROM x
