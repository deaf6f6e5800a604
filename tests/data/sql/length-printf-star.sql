-- SPDX-License-Identifier: Apache-2.0
-- status: 413
SELECT length(printf('%*c', 9223372036854775807, 'x'))
