-- schedule: make a schedule unless it is there, or alter one.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   name     text    "<entity>:<id>"
--   rev      number  '' makes one; else it is altered if this is how the caller knows it
--   token    text    of a new one: tells a call sent twice
--   slot     ms      when it is due next; '' if its last slot was started
--   paused   flag    1: it is not started until it is altered again
--   ...      further fields, name and value in turn
-- RETURNS { word }
--   OK      made, or altered; one that has no slot any more, and no run under way, is gone
--   EXISTS  there is one of that name
--   STALE   it was altered meanwhile, or a slot was started
--   NOTFOUND
-- HOLDS
--   (1) of all who make a schedule of one name, one is answered OK until it is gone
-- COST  O(fields)
--- @include fx
--- @include first_fence
--- @include schedules
--- @lazy apply
local key = fx.schedule_key(name)
local h = redis.call('HMGET', key, 'rev', 'token')
if rev == '' then
  if h[1] then return { h[2] == token and 'OK' or 'EXISTS' } end
  -- Its numbers are above those of any schedule of the name before: what was decided about that one is void.
  local born = first_fence()
  redis.call('HSET', key, 'born', born, 'rev', born, 'token', token, 'cycles', 0, 'running', 0)
  redis.call('SADD', base .. 'schedules', name)
elseif not h[1] then
  return { 'NOTFOUND' }
elseif h[1] ~= rev then
  return { 'STALE' }
end
redis.call('HINCRBY', key, 'rev', 1)
redis.call('HDEL', key, 'line', 'waited')
redis.call('HSET', key, 'slot', slot, 'paused', paused, unpack(ARGV, 8))
fx.arm_schedule(name, paused == '1' and '' or slot)
if slot == '' and redis.call('HGET', key, 'running') == '0' then fx.drop_schedule(name) end
return { 'OK' }
