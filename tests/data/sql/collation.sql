-- SPDX-License-Identifier: Apache-2.0
-- status: 400
SELECT 'b' UNION SELECT 'a' ORDER BY 1 COLLATE icu_x
