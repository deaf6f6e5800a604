-- SPDX-License-Identifier: Apache-2.0
-- status: 400
PRAGMA max_page_count = 1000000000
