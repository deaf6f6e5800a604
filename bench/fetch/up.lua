-- SPDX-License-Identifier: Apache-2.0
-- For wrk: each request brings 1 MiB.
wrk.method = "POST"
wrk.body = string.rep("x", 1048576)
