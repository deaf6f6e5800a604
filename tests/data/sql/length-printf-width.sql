-- SPDX-License-Identifier: Apache-2.0
-- status: 413
SELECT length(printf('%1000000000d', 1))
