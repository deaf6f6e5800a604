-- SPDX-License-Identifier: Apache-2.0
-- status: 400
CREATE VIRTUAL TABLE r USING rtree(id, a, b)
