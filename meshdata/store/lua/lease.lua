-- lease: become the one process that may write a run, and read its journal.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   run      text    "<dim> <job>"
--   fence    number  the number the message gives the run with
--   process  id      who takes it
--   stream   key     the stream the message came by
--   message  id      the message
--   limit    number  journal entries to return at most; the rest is read in pieces
-- RETURNS { word, seq, attempt, journal length, entries, positions of what it waits for,
--           position and details of what heartbeats told last, one after the other }
--   OK      taken; the message is consumed
--   STALE   the message is void: another has the run, or it is over or gone; the message is consumed
-- HOLDS
--   (1) of all processes that hold a message for a run, one gets OK
-- COST  O(entries returned + header fields)
--- @include fx
--- @include keys
--- @include ended
--- @lazy apply
local dim, job = split_run(run)
local header = header_key(dim, job)
local h = redis.call('HMGET', header, 'fence', 'owner', 'seq', 'status', 'attempt', 'loose', 'gate')
if h[7] and h[1] == fence then fx.begun(header, run, h[7], stream, message) end
if stream ~= '' then
  redis.call('XACK', stream, 'g', message)
  redis.call('XDEL', stream, message)
end
if h[1] ~= fence or (h[2] ~= '' and h[2] ~= process) or ended(h[4]) then return { 'STALE', 0, 0, 0, {}, {}, {} } end
redis.call('HSET', header, 'owner', process, 'status', 'running')
redis.call('SADD', base .. 'own:' .. process, run)
local journal = journal_key(dim, job)
local entries = redis.call('LRANGE', journal, 0, tonumber(limit) - 1)
local waits, beats = {}, {}
for _, field in ipairs(h[6] and redis.call('HKEYS', header) or {}) do
  local what, pos = string.sub(field, 1, 2), string.sub(field, 3)
  if what == 'w:' then
    waits[#waits + 1] = pos
  elseif what == 'b:' then
    beats[#beats + 1] = pos
    beats[#beats + 1] = redis.call('HGET', header, field)
  end
end
return { 'OK', tonumber(h[3]), tonumber(h[5]) or 0, redis.call('LLEN', journal), entries, waits, beats }
