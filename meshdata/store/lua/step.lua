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
--   seen     number  journal entries the process knows
--   stream   key     the stream its message came by, '' once that is consumed
--   message  id      the message
--   ...      operations: name, number of arguments, arguments; see `operations` below
-- RETURNS { word, now, journal length, entries from seen on or '', outbox }
--   OK        written; entries is '' when nothing but this step's own `done` entries was added
--   STALE     another process has the run, or it is over or gone: nothing was written
--   REWIND    the store knows less than the process (it lost its last moments): read the journal anew
-- HOLDS
--   (1) a step is applied once: sent again with the same seq, it only answers
--   (2) nothing is written under a fence that is not the header's
-- COST  O(operations)
--- @include apply
local dim, job = split_run(run)
local header = header_key(dim, job)
local h = redis.call('HMGET', header, 'fence', 'owner', 'seq', 'status')
if h[1] ~= fence or (h[2] ~= '' and h[2] ~= process) or ended(h[4]) then
  if stream ~= '' then
    redis.call('XACK', stream, 'g', message)
    redis.call('XDEL', stream, message)
  end
  return { 'STALE', now, 0, '', 0 }
end
local journal = journal_key(dim, job)
if h[3] == seq then
  return { 'OK', now, redis.call('LLEN', journal), redis.call('LRANGE', journal, seen, -1), 0 }
end
if tonumber(h[3]) ~= tonumber(seq) - 1 then return { 'REWIND', now, 0, '', 0 } end
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
fx.stepping = run

-- Register what the run waits for, once: a replayed call finds its wait where it stands.
local function await(pos, wait)
  if redis.call('HSETNX', header, 'w:' .. pos, wait) == 0 then return false end
  redis.call('HSET', header, 'loose', '1')
  return true
end

local function timer(pos, delay) set_timer('d ' .. pos .. ' ' .. run, now_n + tonumber(delay)) end

local own, length = 0, -1
local operations = {
  -- an outcome the process worked out itself: position, kind, code, name, payload
  done = function(a)
    own, length = own + 1, (append(dim, job, a[1], a[2], a[3], a[4], a[5]))
  end,
  -- a failed attempt, and when the next is due: position, name, error, delay
  try = function(a)
    append(dim, job, a[1], 'activity', 'try', a[2], a[3])
    if await(a[1], 'activity ' .. here .. ' 1 ' .. a[2]) then timer(a[1], a[4]) end
  end,
  -- durable time: position, kind (sleep or timeout), delay
  timer = function(a)
    if await(a[1], a[2] .. ' ' .. here .. ' 1 ') then timer(a[1], a[3]) end
  end,
  -- a signal: position, key, the key's partition, timeout or ''
  wait = function(a)
    if await(a[1], 'wait ' .. a[3] .. ' ' .. (a[4] == '' and '0' or '1') .. ' ' .. a[2]) then
      if a[4] ~= '' then timer(a[1], a[4]) end
      fx.send(a[3], { 'wait', a[2], here .. ' ' .. a[1] .. ' ' .. run })
    end
  end,
  -- an effect elsewhere that answers: position, kind, partition, name, verb, arguments; '@' stands for the asker
  ask = function(a)
    if await(a[1], a[2] .. ' ' .. a[3] .. ' 0 ' .. a[4]) then
      if a[2] == 'child' or a[2] == 'start' then redis.call('HSET', header, 'c:' .. a[4], a[3]) end
      local m = {}
      for i = 5, #a do m[i - 4] = a[i] == '@' and here .. ' ' .. a[1] .. ' ' .. run or a[i] end
      fx.send(a[3], m)
    end
  end,
  -- an activity for another worker: position, name, topic, body
  call = function(a)
    if await(a[1], 'activity ' .. here .. ' 0 ' .. a[2]) then
      redis.call('XADD', base .. 'q:' .. a[3], '*', 'a', run, 'p', a[1], 'b', a[4])
    end
  end,
  -- the record: position, name, operation, arguments
  state = function(a)
    local word, result
    if a[3] == 'get' or a[3] == 'all' then
      local values
      if a[3] == 'all' then
        values = redis.call('HGETALL', record_key(job))
      else
        values = redis.call('HMGET', record_key(job), unpack(a, 4))
      end
      -- An absent field is '-', a present one '+' and its text.
      for i = 1, #values do values[i] = values[i] and '+' .. values[i] or '-' end
      word, result = 'OK', pack(values)
    else
      local arguments = {}
      for i = 4, #a do arguments[i - 3] = a[i] end
      word, result = change_record(job, a[3], arguments, 'running')
    end
    append(dim, job, a[1], 'state', word == 'OK' and 'ok' or 'notnumber', a[2], result)
  end,
  -- a wait nobody waits for any more: position
  cancel = function(a)
    local wait = redis.call('HGET', header, 'w:' .. a[1])
    if wait then
      redis.call('HDEL', header, 'w:' .. a[1])
      fx.disarm(dim, job, a[1], wait)
    end
  end,
}

local only_done, at = true, 10
while at <= #ARGV do
  local name, count = ARGV[at], tonumber(ARGV[at + 1])
  local arguments = {}
  for i = 1, count do arguments[i] = ARGV[at + 1 + i] end
  if name ~= 'done' then only_done = false end
  operations[name](arguments)
  at = at + 2 + count
end

if only_done and length == tonumber(seen) + own then return { 'OK', now, length, '', outbox } end
redis.call('SREM', base .. 'wake:' .. process, run)
local entries = redis.call('LRANGE', journal, seen, -1)
return { 'OK', now, tonumber(seen) + #entries, entries, outbox }
