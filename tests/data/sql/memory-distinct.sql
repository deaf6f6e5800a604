-- SPDX-License-Identifier: Apache-2.0
-- status: 503 504
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)
SELECT count(DISTINCT randomblob(100000)) FROM c
