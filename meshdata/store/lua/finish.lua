-- finish: the function returned or failed for good; write its end and all that follows from it.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   run      text    "<dim> <job>"
--   fence    number  the number this process was given the run with
--   process  id      who writes
--   seq      number  steps the run has made, '' does not mind
--   stream   key     the stream its message came by, '' once that is consumed
--   message  id      the message
--   status   word    completed or failed
--   code     word    ok or err
--   payload  bytes   the result or the error
--   problem  text    the error's message for the record, '' if none
-- RETURNS { word, outbox }
--   OK      written, or it was written by this process before
--   STALE   another process has the run, or it is gone
--   REWIND  the store knows less than the process (it lost its last moments): nothing was written, the run is queued
-- HOLDS
--   (1) a job has one end; its result, record, expiry, parent and waiters learn of it together
-- COST  O(waits left over + waiters)
--- @include ended
--- @include finish
--- @lazy record
--- @lazy claims
--- @lazy changed
--- @lazy apply
local dim, job = split_run(run)
local h = redis.call('HMGET', header_key(dim, job), 'fence', 'owner', 'status', 'seq', 'gate')
if h[5] and h[1] == fence then fx.begun(header_key(dim, job), run, h[5], stream, message) end
if stream ~= '' then
  redis.call('XACK', stream, 'g', message)
  redis.call('XDEL', stream, message)
end
if h[1] ~= fence then return { 'STALE', 0 } end
if ended(h[3]) then return { 'OK', 0 } end
if h[2] ~= '' and h[2] ~= process then return { 'STALE', 0 } end
if seq ~= '' and h[4] ~= seq then
  redis.call('SREM', base .. 'own:' .. process, run)
  fx.requeue(dim, job)
  return { 'REWIND', 0 }
end
fx.finish(dim, job, status, code, payload, '', problem)
return { 'OK', fx.outbox }
