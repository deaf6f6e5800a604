-- SPDX-License-Identifier: Apache-2.0
-- status: 200 504
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 20)
SELECT sum(hex(zeroblob(1000000)) LIKE '%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%1') FROM c
