-- SPDX-License-Identifier: Apache-2.0
-- status: 400
UPDATE sqlite_master SET rootpage = 1
