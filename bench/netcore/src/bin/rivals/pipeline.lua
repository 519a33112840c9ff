-- Sends several requests with one write. The number follows `--` on the command line of wrk.

init = function(arguments)
  local depth = tonumber(arguments[1])
  local requests = {}
  for index = 1, depth do
    requests[index] = wrk.format()
  end
  batch = table.concat(requests)
end

request = function()
  return batch
end
