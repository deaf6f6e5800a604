-- SPDX-License-Identifier: Apache-2.0
-- status: 400
SELECT * FROM pragma_compile_options
