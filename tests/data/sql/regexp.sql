-- SPDX-License-Identifier: Apache-2.0
-- status: 400
SELECT 'a' REGEXP 'a'
