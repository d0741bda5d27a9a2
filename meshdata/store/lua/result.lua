-- result: how a run ended, or note who wants to be told when it does.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   run      text    "<dim> <job>"
--   waiter   id      the process to tell, '' only asks
-- RETURNS { word, code, payload }
--   DONE, PENDING, NOTFOUND
-- COST  O(1)
--- @include ended
--- @include fx
--- @include keys
--- @include stored
--- @lazy graph
--- @lazy waiters
local header = header_key(split_run(run))
local h = redis.call('HMGET', header, 'status', 'code', 'result', 'waiters')
if not h[1] then
  -- Who does not wait asks for what is kept by a ttl, which this is not.
  local answer = waiter ~= '' and redis.call('GET', base .. 'a:' .. run)
  if not answer then return { 'NOTFOUND', '', '' } end
  local code, payload = string.match(answer, '^(%l+)\n(.*)$')
  return { 'DONE', code, payload }
end
if ended(h[1]) then return { 'DONE', h[2], stored(h[3], split_run(run)) } end
if waiter ~= '' then fx.add_waiter(header, h[4], waiter) end
return { 'PENDING', '', '' }
