-- SPDX-License-Identifier: Apache-2.0
-- status: 400
CREATE TEMP VIEW v AS SELECT 1
