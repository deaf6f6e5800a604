-- SPDX-License-Identifier: Apache-2.0
-- status: 200
SELECT round(1e300, 400), round(1.5, -2147483648)
