-- SPDX-License-Identifier: Apache-2.0
-- status: 200 504
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 10000)
SELECT sum(length(substr(hex(zeroblob(1000000)), n))) FROM c
