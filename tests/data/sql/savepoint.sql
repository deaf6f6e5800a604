-- SPDX-License-Identifier: Apache-2.0
-- status: 400
SAVEPOINT s
