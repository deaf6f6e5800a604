-- SPDX-License-Identifier: Apache-2.0
--
-- Requests for one tenant after the other: hello.localhost, hello1.localhost and so on; their number is the argument.
local requests, at = {}, 0

function init(args)
    for number = 0, tonumber(args[1]) - 1 do
        local name = number == 0 and "hello" or "hello" .. number
        requests[#requests + 1] = wrk.format("GET", "/", { Host = name .. ".localhost" })
    end
end

function request()
    at = at % #requests + 1
    return requests[at]
end
