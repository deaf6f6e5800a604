-- SPDX-License-Identifier: Apache-2.0
-- status: 200
SELECT instr(hex(zeroblob(1000000)), hex(zeroblob(500000)) || '1')
