-- now: milliseconds since 1970 as text and as a number; the caller's clock when it sets one, else the server's.
-- A time to come is counted from now_up, the next whole millisecond: counted from the last one it would be early.
-- Read once: before Redis 7.2 the server's clock moves on inside a script.
local now_n, now_up
if now_ms == '' then
  local t = redis.call('TIME')
  now_n = t[1] * 1000 + math.floor(t[2] / 1000)
  now_up = t[1] * 1000 + math.ceil(t[2] / 1000)
else
  now_n = tonumber(now_ms)
  now_up = now_n
end
local now = string.format('%.0f', now_n)
