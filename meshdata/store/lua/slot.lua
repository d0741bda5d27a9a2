-- slot: carry out what was decided about a schedule that was due: start the job of its slot, or leave that out, and be due
-- at the next.
-- KEYS
--   base       prefix  the partition's
-- ARGV
--   now_ms     ms      '' takes the server's clock
--   here       number  this partition
--   name       text    the schedule, "<entity>:<id>"
--   rev        number  what the decision was made upon
--   slot       ms      '' starts nothing
--   following  ms      the slot after it; '' if there is none
--   line       ms      the last slot that is owed, 0 for none: it is not left out
--   job        text    the job of the slot
--   partition  number  the job's
-- RETURNS { word, outbox }
--   STARTED, SKIPPED (the run before it is under way), WAITS (for the end of that), PASSED
--   STALE      somebody decided before, or it is gone or paused: nothing was done
-- HOLDS
--   (1) a slot is started at most once: the revision goes up with it
--   (2) unless overlap is allow, no slot is started while a run is under way
-- COST  O(1)
--- @include fx
--- @include schedules
--- @lazy start_job
--- @lazy apply
local key = fx.schedule_key(name)
local h = redis.call('HMGET', key, 'rev', 'overlap', 'running', 'cycles', 'max', 'paused')
if h[1] ~= rev or h[6] == '1' then return { 'STALE', 0 } end
redis.call('HINCRBY', key, 'rev', 1)
redis.call('HDEL', key, 'waited')
redis.call('HSET', key, 'line', line)
local word = 'PASSED'
if slot ~= '' and tonumber(h[3]) > 0 and h[2] ~= 'allow' then
  if h[2] == 'queue' or tonumber(slot) <= tonumber(line) then
    redis.call('HSET', key, 'slot', slot, 'waited', '1')
    fx.arm_schedule(name, '')
    return { 'WAITS', 0 }
  end
  word = 'SKIPPED'
  redis.call('HINCRBY', key, 'skipped', 1)
elseif slot ~= '' then
  word = 'STARTED'
  local cycles = redis.call('HINCRBY', key, 'cycles', 1)
  if h[5] and h[5] ~= '' and cycles >= tonumber(h[5]) then following = '' end
  redis.call('HSET', key, 'last', slot)
  fx.start_scheduled(name, partition, job, '')
end
redis.call('HSET', key, 'slot', following)
fx.arm_schedule(name, following)
if following == '' and redis.call('HGET', key, 'running') == '0' then fx.drop_schedule(name) end
return { word, fx.outbox }
