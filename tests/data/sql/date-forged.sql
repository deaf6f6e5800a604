-- SPDX-License-Identifier: Apache-2.0
-- status: 200
SELECT date('now', '+99999999999 years'), datetime(1e300), julianday('-4713-11-24')
