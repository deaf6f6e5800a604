-- SPDX-License-Identifier: Apache-2.0
-- status: 503 504
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)
SELECT hex(zeroblob(1000000 - n)) LIKE '%_0_0_0_0_0_01',
hex(zeroblob(1000000 - n)) LIKE '%_0_0_0_0_0_01',
hex(zeroblob(1000000 - n)) LIKE '%_0_0_0_0_0_01',
hex(zeroblob(1000000 - n)) LIKE '%_0_0_0_0_0_01' FROM c
