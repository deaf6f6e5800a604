-- SPDX-License-Identifier: Apache-2.0
-- status: 200
SELECT NULL AS "", '' AS ""
