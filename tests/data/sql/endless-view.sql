-- SPDX-License-Identifier: Apache-2.0
-- status: 400
CREATE VIEW v AS SELECT * FROM w;
CREATE VIEW w AS SELECT * FROM v;
SELECT * FROM v
