-- awaited: what came of a call, for who may have missed the hint.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   call     text    the call
--   entry    text    the entry that keeps its answer, '' for none
-- RETURNS { word, code, payload }
--   DONE     code answer
--   PENDING  '' ''        not known (yet)
-- COST  O(1)
--- @include calls
local answer = redis.call('GET', base .. 'a:' .. run_of(call, entry))
if answer then
  local code, payload = string.match(answer, '^(%l+)\n(.*)$')
  return { 'DONE', code, payload }
end
if entry ~= '' then
  local h = redis.call('HMGET', entry_key(entry), 'c', 'v', 'x')
  if h[1] and h[3] ~= call then return { 'DONE', h[1], h[2] } end
end
return { 'PENDING', '', '' }
