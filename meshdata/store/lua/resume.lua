-- resume: let a job begin now that is reserved, or was started with a delay.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   job      text    "<entity>:<id>"
-- RETURNS { word, outbox }
--   OK, BEGUN (it has begun before, or is over), NOTFOUND
-- HOLDS
--   (1) a job begins once
-- COST  O(1)
--- @include fx
--- @include keys
--- @include now
--- @lazy apply
local status = redis.call('HGET', header_key('0', job), 'status')
if not status then return { 'NOTFOUND', 0 } end
if status ~= 'pending' and status ~= 'delayed' then return { 'BEGUN', 0 } end
fx.begin_job(job, now)
return { 'OK', fx.outbox }
