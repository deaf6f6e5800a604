-- SPDX-License-Identifier: Apache-2.0
-- status: 400
CREATE VIRTUAL TABLE f USING fts5(a);
INSERT INTO f SELECT replace(hex(zeroblob(20000)), '0', 'a ');
SELECT length(snippet(f, 0, '<', '>', '.', 5)) FROM f WHERE f MATCH 'a'
