-- SPDX-License-Identifier: Apache-2.0
-- status: 413
SELECT length(zeroblob(1500000) || zeroblob(1500000))
