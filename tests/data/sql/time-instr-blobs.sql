-- SPDX-License-Identifier: Apache-2.0
-- status: 200
SELECT instr(zeroblob(2000000), CAST(zeroblob(1000000) || '1' AS BLOB))
