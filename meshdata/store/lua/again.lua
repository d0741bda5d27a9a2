-- again: the function failed and its policy grants another attempt: drop the outcome it failed on, and queue the run
-- when its pause is over. The journal keeps everything else, so the next attempt begins where this one stood.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   run      text    "<dim> <job>"
--   fence    number  the number this process was given the run with
--   process  id      who writes
--   stream   key     the stream its message came by, '' once that is consumed
--   message  id      the message
--   drop     number  index of the journal entry to drop, '' for none
--   delay    ms      pause before the next attempt
--   attempt  number  attempts made so far
-- RETURNS { word }
--   OK, STALE
-- COST  O(journal) for the entry dropped
--- @include apply
if stream ~= '' then
  redis.call('XACK', stream, 'g', message)
  redis.call('XDEL', stream, message)
end
local dim, job = split_run(run)
local header = header_key(dim, job)
local h = redis.call('HMGET', header, 'fence', 'owner', 'status', 'loose')
if h[1] ~= fence or (h[2] ~= '' and h[2] ~= process) or ended(h[3]) then return { 'STALE' } end
local journal = journal_key(dim, job)
if drop ~= '' then
  redis.call('LSET', journal, drop, '')
  redis.call('LREM', journal, 1, '')
end
redis.call('SREM', base .. 'own:' .. process, run)
redis.call('HINCRBY', header, 'fence', 1)
redis.call('HSET', header, 'status', 'backoff', 'owner', '', 'attempt', attempt)
set_timer('q ' .. run, now_n + tonumber(delay))
return { 'OK' }
