-- first_fence: the fence a new run begins with: microseconds of the server's own clock, because a job may be flushed and
-- begun anew under its name. Its fences are then above every one of the job that was, so a process that still runs that
-- one, or a message or hint that comes late, fits nothing of the new one.
local function first_fence()
  local t = redis.call('TIME')
  return t[1] .. string.format('%06d', t[2])
end
