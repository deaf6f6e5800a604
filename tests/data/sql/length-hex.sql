-- SPDX-License-Identifier: Apache-2.0
-- status: 413
SELECT hex(zeroblob(2000000))
