-- SPDX-License-Identifier: Apache-2.0
-- status: 400
CREATE TABLE t(a);
ALTER TABLE t RENAME TO _skep_t
