-- SPDX-License-Identifier: Apache-2.0
-- status: 400
CREATE TABLE t(a AS (b), b AS (a))
