-- graph_commit: write what a step of a graph job came to, with everything it causes: state, work, timers, signals,
-- children, its end. The first commit of a job takes its lease and consumes its message.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   run      text    "0 <job>"
--   fence    number  the number this process was given the run with
--   process  id      who writes
--   seq      number  commits of this job so far, and this one
--   consumed number  entries at the head of the inbox that this step has dealt with; they go
--   stream   key     the stream its message came by, '' once that is consumed
--   message  id      the message
--   how      word    running: it goes on at once; waiting: it goes on when something comes; completed, failed, interrupted
--   code     word    of an end: ok or err
--   payload  bytes   of an end with err: the error
--   problem  text    of an end: the error's message for the record, '' if none
--   ttl      ms      of an end: how long the job stays; 'inf'
--   ...      operations: name, number of arguments, arguments; see lib/graph_operations.lua and lib/operations.lua
-- RETURNS { word, entries of the inbox, outbox }
--   OK      written; of waiting: the lease was given back, the inbox is empty
--   MORE    written; of waiting: there is news, and the process keeps the run
--   STALE   another process has the run, or it is over or gone: nothing was written
--   REWIND  the store knows less than the process (it lost its last moments): nothing was written, the run is queued
-- HOLDS
--   (1) state and what follows from it are written together, or not at all
--   (2) a commit is applied once: sent again with the same seq, it only answers
--   (3) nothing is written under a fence that is not the header's
-- COST  O(operations)
--- @include fx
--- @include keys
--- @include now
--- @include append
--- @include ended
--- @lazy graph_operations
local dim, job = split_run(run)
local header, inbox = header_key(dim, job), journal_key(dim, job)
local h = redis.call('HMGET', header, 'fence', 'owner', 'seq', 'status', 'deaths')
if stream ~= '' then
  redis.call('XACK', stream, 'g', message)
  redis.call('XDEL', stream, message)
end
if h[1] ~= fence or (h[2] ~= '' and h[2] ~= process) then
  -- A commit that gave the lease back and is sent again finds another fence.
  return { 'STALE', {}, 0 }
end
if ended(h[4]) then return { h[3] == seq and 'OK' or 'STALE', {}, 0 } end
if h[3] == seq then
  local goes_on = how == 'running' or redis.call('LLEN', inbox) > 0
  return { goes_on and 'MORE' or 'OK', fx.whole(dim, job, redis.call('LRANGE', inbox, 0, -1)), 0 }
end
if tonumber(h[3]) ~= tonumber(seq) - 1 or redis.call('LLEN', inbox) < tonumber(consumed) then
  redis.call('SREM', base .. 'own:' .. process, run)
  fx.requeue(dim, job)
  return { 'REWIND', {}, 0 }
end
if h[5] then redis.call('HDEL', header, 'deaths') end
if tonumber(consumed) > 0 then
  for _, entry in ipairs(redis.call('LRANGE', inbox, 0, tonumber(consumed) - 1)) do
    local number = string.match(entry, '^[^\n]*\n\1(%d+) ')
    if number then redis.call('HDEL', fx.large_key(dim, job), number) end
  end
  redis.call('LTRIM', inbox, consumed, -1)
end
redis.call('HSET', header, 'seq', seq, 'owner', process, 'status', 'running')
fx.stepping, fx.seen, fx.stopped = run, 1000000000, false
fx.graph_operate(15, dim, job)
if fx.stopped then return { 'STALE', {}, fx.outbox } end
if how == 'completed' or how == 'failed' or how == 'interrupted' then
  redis.call('DEL', inbox)
  fx.finish(dim, job, how, code, payload, ttl, problem)
  return { 'OK', {}, fx.outbox }
end
local entries = redis.call('LRANGE', inbox, 0, -1)
if how == 'waiting' and #entries == 0 then
  redis.call('HINCRBY', header, 'fence', 1)
  redis.call('HSET', header, 'status', 'waiting', 'owner', '')
  redis.call('SREM', base .. 'own:' .. process, run)
  redis.call('SREM', base .. 'wake:' .. process, run)
  return { 'OK', {}, fx.outbox }
end
redis.call('SADD', base .. 'own:' .. process, run)
redis.call('SREM', base .. 'wake:' .. process, run)
return { 'MORE', fx.whole(dim, job, entries), fx.outbox }
