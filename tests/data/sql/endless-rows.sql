-- SPDX-License-Identifier: Apache-2.0
-- status: 504
WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c
