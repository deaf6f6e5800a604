-- SPDX-License-Identifier: Apache-2.0
-- status: 400
SELECT sqlite_compileoption_get(0)
