-- SPDX-License-Identifier: Apache-2.0
-- status: 413
SELECT length(replace(replace(hex(zeroblob(500000)), '0', '00'), '0', '00'))
