-- real_now: the server's own clock in milliseconds. Leases use it even when a test sets the time: a process is alive in
-- real time only.
local function real_now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
