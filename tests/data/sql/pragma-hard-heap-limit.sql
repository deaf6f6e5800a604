-- SPDX-License-Identifier: Apache-2.0
-- status: 400
PRAGMA hard_heap_limit = 1
