-- SPDX-License-Identifier: Apache-2.0
-- status: 200
CREATE VIRTUAL TABLE f USING fts5(a);
INSERT INTO f SELECT replace(hex(zeroblob(200000)), '0', 'a ');
SELECT length(highlight(f, 0, '<', '>')) FROM f WHERE f MATCH 'a' ORDER BY rank
