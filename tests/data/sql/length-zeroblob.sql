-- SPDX-License-Identifier: Apache-2.0
-- status: 413
SELECT length(zeroblob(2000000000))
