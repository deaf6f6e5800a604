-- SPDX-License-Identifier: Apache-2.0
-- status: 504
CREATE VIRTUAL TABLE f USING fts5(a, tokenize='trigram', prefix='1 2 3');
INSERT INTO f VALUES(hex(randomblob(1000000)))
