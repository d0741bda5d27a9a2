-- graph_start: create a graph job with what its trigger came to, or report the job already there.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   how      word    waiting; running: there is more to do at once; or how it ended: completed, failed
--   code     word    of an end: ok or err
--   payload  bytes   of an end with err: the error
--   problem  text    of an end: the error's message for the record, '' if none
--   ttl      ms      of an end: how long the job stays; 'inf'
--   size     number  of the job's spec
--   ...      the spec, see lib/start_job.lua (held, policy fail); then operations as of graph_commit.lua
-- RETURNS { word, code, payload, outbox }
--   CREATED  '' ''   nothing was there; the job stands behind its trigger
--   PENDING  '' ''   this very start was applied before
--   EXISTS   '' ''   there is a job of the id
-- HOLDS
--   (1) a job exists if and only if its trigger's step is written
-- COST  O(operations)
--- @include fx
--- @include keys
--- @include now
--- @include append
--- @include ended
--- @lazy start_job
--- @lazy graph_operations
local spec = {}
for i = 1, tonumber(size) do spec[i] = ARGV[8 + i] end
local word, old_code, old_payload = fx.start_job(spec)
if word ~= 'CREATED' then return { word, old_code, old_payload, fx.outbox } end
local job = spec[1]
local header, inbox = header_key('0', job), journal_key('0', job)
redis.call('HSET', header, 'seq', '1')
fx.stepping, fx.seen, fx.stopped = '0 ' .. job, 1000000000, false
fx.graph_operate(9 + #spec, '0', job)
if fx.stopped then return { word, '', '', fx.outbox } end
if how == 'completed' or how == 'failed' then
  redis.call('DEL', inbox)
  fx.finish('0', job, how, code, payload, ttl, problem)
elseif how == 'running' or redis.call('LLEN', inbox) > 0 then
  fx.requeue('0', job) -- there is more to do at once, or what it waits for had come before
end
return { word, '', '', fx.outbox }
