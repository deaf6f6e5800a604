-- SPDX-License-Identifier: Apache-2.0
-- status: 400
CREATE VIRTUAL TABLE f USING fts5(a);
INSERT INTO f_data VALUES(1, x'00')
