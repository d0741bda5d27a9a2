-- suspend: give a lease back. A run that only waits goes on when its next outcome comes; one with work in flight is
-- queued for somebody else at once; one whose code does not fit its journal is parked until fitting code arrives.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   run      text    "<dim> <job>"
--   fence    number  the number this process was given the run with
--   process  id      who gives it back
--   seq      number  steps the run has made, '' does not mind
--   seen     number  journal entries the process knows; '' does not mind
--   stream   key     the stream its message came by, '' once that is consumed
--   message  id      the message
--   how      word    waiting, queued or parked
--   problem  text    for parked: what did not fit
-- RETURNS { word }
--   OK      given back; if the store knows of fewer steps (it lost its last moments), queued as it stands
--   MORE    waiting only: the journal has entries the process has not seen; it keeps the run
--   STALE   it was not this process's to give
-- COST  O(1)
--- @include fx
--- @include keys
--- @include now
--- @include ended
--- @lazy apply
local dim, job = split_run(run)
local header = header_key(dim, job)
local h = redis.call('HMGET', header, 'fence', 'owner', 'status', 'topic', 'seq')
local void = h[1] ~= fence or (h[2] ~= '' and h[2] ~= process) or ended(h[3])
if seq ~= '' and h[5] ~= seq then how = 'queued' end
if not void and how == 'waiting' and redis.call('LLEN', journal_key(dim, job)) > tonumber(seen) then return { 'MORE' } end
if stream ~= '' then
  redis.call('XACK', stream, 'g', message)
  redis.call('XDEL', stream, message)
end
if void then return { 'STALE' } end
redis.call('SREM', base .. 'own:' .. process, run)
redis.call('SREM', base .. 'wake:' .. process, run)
if how == 'queued' then
  fx.requeue(dim, job)
else
  redis.call('HINCRBY', header, 'fence', 1)
  redis.call('HSET', header, 'status', how, 'owner', '')
  if how == 'parked' then
    redis.call('HSET', header, 'parked', problem)
    redis.call('SADD', base .. 'parked:' .. h[4], run)
  end
end
return { 'OK' }
