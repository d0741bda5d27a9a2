-- renew: the function goes on as a new run of its job: the same name and record, the same who await it, hooks and children
-- as they are; a journal that holds nothing but the new start. Queued like a start.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   run      text    "0 <job>"
--   fence    number  the number this process was given the run with
--   process  id      who writes
--   seq      number  steps the run has made
--   stream   key     the stream its message came by, '' once that is consumed
--   message  id      the message
--   consumed number  journal entries the function was told of
--   told     flag    0: the function was not told of a request to cancel it
--   body     bytes   the new journal's entry 0
--   ...      position and partitions of the keys (parted by commas), in turn, of the signals it still waited for
-- RETURNS { word, outbox }
--   OK
--   STALE   another process has the run, or it is over, gone, or renewed already
--   REWIND  the store knows less than the process (it lost its last moments): nothing was written, the run is queued
-- HOLDS
--   (1) of a job that renews itself again and again, no more keys are there than of one that does not
--   (2) a payload that came and was not told is kept for the next who waits; a request to cancel goes with the job
-- COST  O(journal entries that were not told + waits left over)
--- @include fx
--- @include keys
--- @include now
--- @include append
--- @include ended
--- @lazy apply
if stream ~= '' then
  redis.call('XACK', stream, 'g', message)
  redis.call('XDEL', stream, message)
end
local dim, job = split_run(run)
local header, journal = header_key(dim, job), journal_key(dim, job)
local h = redis.call('HMGET', header, 'fence', 'owner', 'status', 'seq', 'topic', 'runs', 'cancel', 'loose')
if h[1] ~= fence or (h[2] ~= '' and h[2] ~= process) or ended(h[3]) then return { 'STALE', 0 } end
redis.call('SREM', base .. 'own:' .. process, run)
redis.call('SREM', base .. 'wake:' .. process, run)
if h[4] ~= seq then
  fx.requeue(dim, job)
  return { 'REWIND', 0 }
end
if h[8] then
  local all = redis.call('HGETALL', header)
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == 'w:' then
      redis.call('HDEL', header, all[i])
      fx.disarm(dim, job, string.sub(all[i], 3), all[i + 1])
    end
  end
end

local partitions_of = {}
for i = 12, #ARGV, 2 do partitions_of[ARGV[i]] = ARGV[i + 1] end

local keeps_request = told == '0' and h[7]
local entries, request = fx.whole(dim, job, redis.call('LRANGE', journal, keeps_request and 0 or consumed, -1)), nil
local untold = keeps_request and tonumber(consumed) or 0
for i = #entries, 1, -1 do -- the last one first, because each goes to the head of its line
  local pos, kind, code, name, payload = string.match(entries[i], '^%S+ (%S+) (%S+) (%S+) ([^\n]*)\n(.*)$')
  if kind == 'cancel' and pos == '0' then
    request = payload
  elseif i > untold and code == 'ok' and partitions_of[pos] then
    fx.give_back(kind, name, partitions_of[pos], payload)
  end
end

local name = string.match(redis.call('LINDEX', journal, 0), '^%S+ %S+ %S+ %S+ ([^\n]*)')
redis.call('DEL', journal, fx.large_key(dim, job))
append(dim, job, '0', 'start', 'ok', name, body)
redis.call('HDEL', header, 'attempt', 'deaths', 'cancel')
redis.call('HSET', header, 'seq', '0', 'runs', (tonumber(h[6]) or 1) + 1)
if keeps_request and request then
  -- Whoever gets the run must read its journal: it is more than its start.
  append(dim, job, '0', 'cancel', 'ok', '', request)
  redis.call('HSET', header, 'cancel', '1')
  fx.requeue(dim, job)
else
  local f = string.format('%.0f', redis.call('HINCRBY', header, 'fence', 1))
  local id = fx.queue_new(h[5], run, f, now, body)
  redis.call('HSET', header, 'status', 'queued', 'owner', '', 'message', 'q' .. id)
end
return { 'OK', fx.outbox }
