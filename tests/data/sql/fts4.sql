-- SPDX-License-Identifier: Apache-2.0
-- status: 400
CREATE VIRTUAL TABLE f USING fts4(a)
