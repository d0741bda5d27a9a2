-- step: write outcomes of a run and everything they cause, and return what others wrote meanwhile. The first step of a
-- run takes its lease and consumes its message.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   run      text    "<dim> <job>"
--   fence    number  the number this process was given the run with
--   seq      number  1 for the first step under a journal, one more for each
--   process  id      who writes
--   seen     number  journal entries the process knew when it decided on the first of the operations
--   stream   key     the stream its message came by, '' once that is consumed
--   message  id      the message
--   ...      operations: name, number of arguments, arguments; see lib/operations.lua
-- RETURNS { word, now, journal length, entries from seen on or '', outbox }
--   OK        written; entries is '' when nothing but this step's own `done` entries was added
--   STALE     another process has the run, or it is over or gone: nothing was written; or one of the operations ended
--             it (it interrupted its own job), and those behind were left out
--   REWIND    the store knows less than the process (it lost its last moments): read the journal anew
-- HOLDS
--   (1) a step is applied once: sent again with the same seq, it only answers
--   (2) nothing is written under a fence that is not the header's
-- COST  O(operations)
--- @include fx
--- @include keys
--- @include now
--- @include append
--- @include ended
--- @lazy operations
local dim, job = split_run(run)
local header = header_key(dim, job)
local h = redis.call('HMGET', header, 'fence', 'owner', 'seq', 'status', 'deaths', 'gate')
if h[1] ~= fence or (h[2] ~= '' and h[2] ~= process) or ended(h[4]) then
  if stream ~= '' then
    redis.call('XACK', stream, 'g', message)
    redis.call('XDEL', stream, message)
  end
  return { 'STALE', now, 0, '', 0 }
end
local journal = journal_key(dim, job)
if h[3] == seq then
  return { 'OK', now, redis.call('LLEN', journal), fx.whole(dim, job, redis.call('LRANGE', journal, seen, -1)), 0 }
end
-- A journal that is shorter than the process knows it has lost what others wrote, which no step counts.
if tonumber(h[3]) ~= tonumber(seq) - 1 or redis.call('LLEN', journal) < tonumber(seen) then
  return { 'REWIND', now, 0, '', 0 }
end
-- It gets on, so it was not what its processes died of: what kills them comes no further than before.
if h[5] then redis.call('HDEL', header, 'deaths') end
if h[6] then fx.begun(header, run, h[6], stream, message) end
if h[2] == '' then
  redis.call('HSET', header, 'seq', seq, 'owner', process, 'status', 'running')
  redis.call('SADD', base .. 'own:' .. process, run)
else
  redis.call('HSET', header, 'seq', seq)
end
if stream ~= '' then
  redis.call('XACK', stream, 'g', message)
  redis.call('XDEL', stream, message)
end
fx.stepping, fx.seen, fx.stopped = run, seen, false

local own, length, only_done, at = 0, -1, true, 10
while at <= #ARGV and not fx.stopped do
  local name, count = ARGV[at], tonumber(ARGV[at + 1])
  if name == 'done' then
    -- an outcome the process worked out itself: position, kind, code, name, payload, and how
    -- many ms it took, if any
    own = own + 1
    length = append(dim, job, ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6],
      count > 5 and ARGV[at + 7])
  else
    only_done = false
    local arguments = {}
    for i = 1, count do arguments[i] = ARGV[at + 1 + i] end
    fx.operate(name, arguments, dim, job)
  end
  at = at + 2 + count
end
if fx.stopped then return { 'STALE', now, 0, '', fx.outbox } end

if only_done and length == tonumber(seen) + own then return { 'OK', now, length, '', fx.outbox } end
redis.call('SREM', base .. 'wake:' .. process, run)
local entries = redis.call('LRANGE', journal, seen, -1)
for i = 1, #entries do
  if string.find(entries[i], '\n\1', 1, true) then
    fx.whole(dim, job, entries) -- with the payloads that are kept beside the journal
    break
  end
end
return { 'OK', now, tonumber(seen) + #entries, entries, fx.outbox }
