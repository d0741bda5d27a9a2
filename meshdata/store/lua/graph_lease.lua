-- graph_lease: become the one process that may write a graph job, and get its inbox and its state.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   run      text    "0 <job>"
--   fence    number  the number the message gives the run with
--   process  id      who takes it
--   stream   key     the stream the message came by
--   message  id      the message
-- RETURNS { word, seq, entries of the inbox, whole, state }
--   OK      taken; the message is consumed; state as names and values, whole 1 if that is all of it
--   STALE   the message is void: another has the job, or it is over or gone; the message is consumed
-- HOLDS
--   (1) of all processes that hold a message for a run, one gets OK
-- COST  O(state)
--- @include fx
--- @include keys
--- @include now
--- @include append
--- @include ended
--- @lazy graph
--- @lazy apply
local dim, job = split_run(run)
local header = header_key(dim, job)
local h = redis.call('HMGET', header, 'fence', 'owner', 'seq', 'status')
if stream ~= '' then
  redis.call('XACK', stream, 'g', message)
  redis.call('XDEL', stream, message)
end
if h[1] ~= fence or (h[2] ~= '' and h[2] ~= process) or ended(h[4]) then return { 'STALE', 0, {}, 0, {} } end
redis.call('HSET', header, 'owner', process, 'status', 'running')
redis.call('SADD', base .. 'own:' .. process, run)
local entries = fx.whole(dim, job, redis.call('LRANGE', journal_key(dim, job), 0, -1))
local whole, state = fx.graph_state(job)
return { 'OK', tonumber(h[3]), entries, whole, state }
