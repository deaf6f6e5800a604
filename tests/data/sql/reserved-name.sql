-- SPDX-License-Identifier: Apache-2.0
-- status: 400
CREATE TABLE _skep_meta(a)
