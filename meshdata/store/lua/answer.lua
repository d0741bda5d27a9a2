-- answer: a worker brings what came of a call, and its message is consumed.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   stream   key     the stream the message came by
--   message  id      the message
--   call     text    the call
--   waiter   id      the process that awaits it; of one with an entry that knows who does
--   code     word    ok or err
--   payload  bytes   result or error
--   entry    text    the entry that keeps the answer, '' for none
--   policy   bytes   how, see lib/answered.lua
-- RETURNS { word }
--   OK
-- HOLDS
--   (1) of a call that two workers ran (one was taken for dead) the entry keeps the answer that comes first
-- COST  O(waiters + tags)
--- @include fx
--- @include tell
--- @lazy answered
redis.pcall('XACK', stream, 'g', message)
redis.call('XDEL', stream, message)
if entry ~= '' then
  fx.answered(call, waiter, code, payload, entry, policy)
else
  -- What lib/answered.lua does for such a call, which is most of them: without defining what only entries need.
  local run = 'x ' .. here .. ' ' .. call
  fx.keep_answer(run, waiter, code, payload)
  fx.tell_waiters(run, waiter, code, payload)
end
return { 'OK' }
