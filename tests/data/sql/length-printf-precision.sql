-- SPDX-License-Identifier: Apache-2.0
-- status: 200 413
SELECT length(printf('%.1000000000f', 1.5))
