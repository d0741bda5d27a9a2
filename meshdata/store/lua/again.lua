-- again: the function failed and its policy grants another attempt: drop the outcome it failed on, with what was done
-- once that was known, and queue the run when its pause is over. The journal keeps everything else, so the next attempt
-- begins where this one stood.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   run      text    "<dim> <job>"
--   fence    number  the number this process was given the run with
--   process  id      who writes
--   seq      number  steps the run has made
--   stream   key     the stream its message came by, '' once that is consumed
--   message  id      the message
--   delay    ms      pause before the next attempt
--   attempt  number  attempts made so far
--   told     flag    1: it was told of a request to cancel it; one it was not told of ends the pause
--   ...      positions of the calls it failed on, and of those made when that was known
-- RETURNS { word, outbox }
--   OK, STALE
--   REWIND  the store knows less than the process (it lost its last moments): the run is queued as it stands
-- HOLDS
--   (1) of the call it failed on and of those made after it nothing is left: the next attempt may make others there
-- COST  O(journal) when there is a call to drop
--- @include fx
--- @include keys
--- @include now
--- @include ended
--- @lazy apply
if stream ~= '' then
  redis.call('XACK', stream, 'g', message)
  redis.call('XDEL', stream, message)
end
local dim, job = split_run(run)
local header = header_key(dim, job)
local h = redis.call('HMGET', header, 'fence', 'owner', 'status', 'seq')
if h[1] ~= fence or (h[2] ~= '' and h[2] ~= process) or ended(h[3]) then return { 'STALE', 0 } end
redis.call('SREM', base .. 'own:' .. process, run)
if h[4] ~= seq then
  fx.requeue(dim, job)
  return { 'REWIND', 0 }
end
if #ARGV > 11 then
  local journal, gone = journal_key(dim, job), {}
  for i = 12, #ARGV do gone[ARGV[i]] = true end
  for pos in pairs(gone) do
    redis.call('HDEL', header, 'b:' .. pos)
    local wait = redis.call('HGET', header, 'w:' .. pos)
    if wait then
      redis.call('HDEL', header, 'w:' .. pos)
      fx.disarm(dim, job, pos, wait)
    end
  end
  local kept = {}
  for _, entry in ipairs(redis.call('LRANGE', journal, 0, -1)) do
    if not gone[string.match(entry, '^%S+ (%S+) ')] then
      kept[#kept + 1] = entry
    else
      local large = string.match(entry, '^[^\n]*\n\1(%d+) ')
      if large then redis.call('HDEL', fx.large_key(dim, job), large) end
    end
  end
  redis.call('DEL', journal)
  fx.in_parts('RPUSH', journal, kept)
end
redis.call('HINCRBY', header, 'fence', 1)
redis.call('HSET', header, 'status', 'backoff', 'owner', '', 'attempt', attempt)
if told == '0' and redis.call('HEXISTS', header, 'cancel') == 1 then
  fx.requeue(dim, job)
else
  fx.set_timer('q ' .. run, now_up + tonumber(delay))
end
return { 'OK', fx.outbox }
