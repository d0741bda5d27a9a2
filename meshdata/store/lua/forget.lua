-- forget: an entry loses its answer. Who awaits the run under way gets what it brings, and nothing of that is kept; or is told
-- that it was interrupted, and a run nobody has begun is not begun.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   entry    text    "<topic>:<id>"
--   topic    text    where the function is served
--   end_by   bytes   '' only forgets; else the run under way, and nothing else, is ended by this error
-- RETURNS { removed }
--   1 if there was an answer, or a run under way; to end: if there was a run
-- COST  O(tags)
--- @include answered
--- @include retire
local key = entry_key(entry)
local h = redis.call('HMGET', key, 'c', 'x', 'm', 'g')
local is_begun = h[2] and is_under_way(topic, h[3])
if end_by ~= '' then
  if not is_begun then return { 0 } end
  local stream = base .. 'q:' .. topic
  local pending = redis.pcall('XPENDING', stream, 'g', h[3], h[3], 1)
  if pending.err or #pending == 0 then
    unqueue_call(stream, h[3])
    retire(topic)
  else
    redis.call('PUBLISH', base .. 'hint:' .. pending[1][2], 'k - ' .. h[2])
  end
  local waiters = redis.call('HGET', key, 'w:' .. h[2])
  redis.call('HDEL', key, 'x', 'm', 'd', 'w:' .. h[2])
  fx.keep_answer(run_of(h[2], entry), waiters, 'err', end_by)
  fx.tell_waiters(run_of(h[2], entry), waiters, 'err', end_by)
  return { 1 }
end
if not h[1] and not h[2] then return { 0 } end
local tags = h[4] and unpack_list(h[4]) or {}
local was_there = h[1] and tags_hold(tags)
empty(key, entry, tags)
return { (was_there or is_begun) and 1 or 0 }
