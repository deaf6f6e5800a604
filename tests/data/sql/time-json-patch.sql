-- SPDX-License-Identifier: Apache-2.0
-- status: 413 504
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 100000), o(j) AS (SELECT json_group_object('a' || n, n) FROM c)
SELECT length(json_patch(j, j)) FROM o
