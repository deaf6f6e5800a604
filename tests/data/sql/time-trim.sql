-- SPDX-License-Identifier: Apache-2.0
-- status: 413
SELECT length(trim(hex(zeroblob(1000000)), substr(hex(zeroblob(1000000)), 2)))
