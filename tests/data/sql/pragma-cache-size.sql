-- SPDX-License-Identifier: Apache-2.0
-- status: 400
PRAGMA cache_size = -1000000
