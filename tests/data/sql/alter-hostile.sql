-- SPDX-License-Identifier: Apache-2.0
-- status: 400
CREATE TABLE t(a, b);
CREATE VIEW v AS SELECT no_such FROM t;
ALTER TABLE t DROP COLUMN a
