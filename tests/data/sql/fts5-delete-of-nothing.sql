-- SPDX-License-Identifier: Apache-2.0
-- status: 200 400
CREATE TABLE d(a);
INSERT INTO d VALUES('x y');
CREATE VIRTUAL TABLE f USING fts5(a, content=d);
INSERT INTO f(f, rowid, a) VALUES('delete', 1, 'x y');
INSERT INTO f(f, rowid, a) VALUES('delete', 1, 'z');
SELECT * FROM f WHERE f MATCH 'x';
INSERT INTO f(f) VALUES('integrity-check')
