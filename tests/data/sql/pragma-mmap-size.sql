-- SPDX-License-Identifier: Apache-2.0
-- status: 400
PRAGMA mmap_size = 1000000000
