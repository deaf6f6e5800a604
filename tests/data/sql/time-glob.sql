-- SPDX-License-Identifier: Apache-2.0
-- status: 200 504
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 20)
SELECT sum(hex(zeroblob(1000000)) GLOB '*[0-9]*[0-9]*[0-9]*[0-9]*[0-9]*[0-9]*[0-9]*1') FROM c
