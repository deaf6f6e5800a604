-- SPDX-License-Identifier: Apache-2.0
-- status: 400
SELECT abs(-9223372036854775808)
