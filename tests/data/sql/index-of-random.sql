-- SPDX-License-Identifier: Apache-2.0
-- status: 400
CREATE TABLE t(a);
CREATE INDEX i ON t(random())
