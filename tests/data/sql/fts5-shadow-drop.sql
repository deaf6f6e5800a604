-- SPDX-License-Identifier: Apache-2.0
-- status: 400
CREATE VIRTUAL TABLE f USING fts5(a);
DROP TABLE f_data
