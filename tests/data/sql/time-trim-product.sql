-- SPDX-License-Identifier: Apache-2.0
-- status: 413
SELECT length(trim(hex(zeroblob(1000000)), replace(hex(zeroblob(50000)), '0', '1') || '0'))
