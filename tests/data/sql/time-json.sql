-- SPDX-License-Identifier: Apache-2.0
-- status: 200 400 504
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 200000)
SELECT length(json_set((SELECT json_group_array(n) FROM c), '$[100000]', 'x'))
