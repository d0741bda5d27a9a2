-- graph_reply: a worker brings a reply for an activity of a graph job; if nobody has the job in hand, it takes the lease
-- and gets the job's state, to carry out what follows itself.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   run      text    "0 <job>"
--   pos      text    the activity's instance
--   code     word    ok or err; '' for a worker that leaves the activity open without a reply
--   payload  bytes   the reply
--   process  id      who brings it
--   takes    flag    1: it can carry out steps of the job
--   stream   key     the stream the message came by
--   message  id      the message
-- RETURNS { word, fence, seq, entries of the inbox, whole, state, outbox }
--   TAKEN   the lease is the process's; state as names and values, whole 1 if that is all of it
--   OK      written; whoever has the job goes on, or whoever reads its continuation
--   STALE   the message was answered before, or nobody waits for it any more: nothing was written
-- HOLDS
--   (1) a message is answered once: who is late, or sends again, finds it consumed
-- COST  O(state)
--- @include fx
--- @include keys
--- @include now
--- @include append
--- @include ended
--- @lazy graph
--- @lazy apply
local held = redis.call('XACK', stream, 'g', message)
redis.call('XDEL', stream, message)
local stale = { held == 1 and code == '' and 'OK' or 'STALE', '', 0, {}, 0, {}, 0 }
if held == 0 or code == '' then return stale end
local dim, job = split_run(run)
local header = header_key(dim, job)
local h = redis.call('HMGET', header, 'status', 'owner', 'seq', 'w:' .. pos)
if not h[4] or not h[1] or ended(h[1]) then return stale end
local _, name, took = fx.disarm(dim, job, pos, h[4])
local length, entry = append(dim, job, pos, 'reply', code, name, payload, took)
if takes ~= '1' or h[1] ~= 'waiting' or h[2] ~= '' then
  fx.notify(dim, job, length - 1, entry)
  return { 'OK', '', 0, {}, 0, {}, fx.outbox }
end
local fence = string.format('%.0f', redis.call('HINCRBY', header, 'fence', 1))
redis.call('HSET', header, 'owner', process, 'status', 'running')
redis.call('SADD', base .. 'own:' .. process, run)
local entries = fx.whole(dim, job, redis.call('LRANGE', journal_key(dim, job), 0, -1))
local whole, state = fx.graph_state(job)
return { 'TAKEN', fence, tonumber(h[3]), entries, whole, state, fx.outbox }
