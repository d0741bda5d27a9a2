-- start: create a job and queue its first message, or report the job already there.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   ...      the job's spec, see lib/start_job.lua
-- RETURNS { word, code, payload, outbox }
--   CREATED  '' ''        nothing was there; its message is queued
--   PENDING  '' ''        it runs already; the waiter is noted
--   EXISTS   '' ''        it is there, and the policy is to fail
--   DONE     code result  it is over
-- HOLDS
--   (1) a job exists if and only if its first message was queued, once
-- COST  O(seed fields)
--- @include ended
--- @include fx
--- @include stored
--- @lazy graph
--- @lazy start_job
--- @lazy waiters
--- @lazy record
--- @lazy claims
--- @lazy changed
--- @lazy apply
local job, policy = ARGV[3], ARGV[11]
if policy == 'attach' then
  -- The commonest answer first: it is over, and that is all there is to do.
  local h = redis.call('HMGET', base .. 'j:' .. job, 'status', 'code', 'result')
  if ended(h[1]) then return { 'DONE', h[2], stored(h[3], '0', job), 0 } end
end
local spec = {}
for i = 3, #ARGV do spec[i - 2] = ARGV[i] end
local word, code, payload = fx.start_job(spec)
return { word, code, payload, fx.outbox }
