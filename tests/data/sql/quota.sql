-- SPDX-License-Identifier: Apache-2.0
-- status: 507
CREATE TABLE t(a);
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) INSERT INTO t SELECT randomblob(10000) FROM c
