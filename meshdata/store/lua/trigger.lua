-- trigger: start a job of a schedule now, beside its slots.
-- KEYS
--   base       prefix  the partition's
-- ARGV
--   now_ms     ms      '' takes the server's clock
--   here       number  this partition
--   name       text    the schedule, "<entity>:<id>"
--   job        text    the job, of a name never used before
--   partition  number  the job's
--   waiter     id      the process to tell of its end
-- RETURNS { word, outbox }
--   STARTED
--   BUSY       a run is under way, and runs of it may not overlap
--   NOTFOUND
-- COST  O(1)
--- @include fx
--- @include schedules
--- @lazy start_job
--- @lazy apply
local key = fx.schedule_key(name)
local h = redis.call('HMGET', key, 'rev', 'overlap', 'running', 'job')
if not h[1] then return { 'NOTFOUND', 0 } end
if h[4] == job then return { 'STARTED', 0 } end
if h[2] ~= 'allow' and tonumber(h[3]) > 0 then return { 'BUSY', 0 } end
redis.call('HSET', key, 'job', job)
fx.start_scheduled(name, partition, job, waiter)
return { 'STARTED', fx.outbox }
