-- SPDX-License-Identifier: Apache-2.0
-- status: 413
SELECT length(randomblob(100000000))
