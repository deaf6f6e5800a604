-- SPDX-License-Identifier: Apache-2.0
-- status: 413
SELECT length(printf('%.*c', 1000000000, 'x'))
