-- heartbeat: an activity that runs for a run elsewhere tells how it gets on, for its next attempt.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   run      text    the run that asked for it
--   pos      text    the call's position
--   details  bytes   what it tells, as JSON
-- RETURNS { word }
--   OK      kept until the call is over
--   STALE   nobody waits for it any more
-- COST  O(1)
--- @include keys
local dim, job = split_run(run)
local header = header_key(dim, job)
if redis.call('HEXISTS', header, 'w:' .. pos) == 0 then return { 'STALE' } end
redis.call('HSET', header, 'b:' .. pos, details, 'loose', '1')
return { 'OK' }
