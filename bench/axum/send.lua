-- For wrk: sends texts of 100 bytes under new client ids. Arguments: token, conversation, a number of the run.
local threads = 0
function setup(thread) thread:set("number", threads); threads = threads + 1 end
function init(arguments)
  token, conversation, run = arguments[1], arguments[2], tonumber(arguments[3])
  count = 0
  headers = { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json" }
  body = string.rep("YWJj", 33) .. "YQ=="
end
function request()
  count = count + 1
  local id = string.format("%08x-%04x-4000-8000-%012x", run, number, count)
  local text = '{"conversation_id":"' .. conversation .. '","client_msg_id":"' .. id ..
    '","kind":"EVENT_KIND_TEXT","content":{"body":"' .. body .. '"}}'
  return wrk.format("POST", "/v1/call/send", headers, text)
end
