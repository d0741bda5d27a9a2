-- reply: a worker brings the outcome of an activity it ran for a run elsewhere.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   run      text    the run that asked
--   pos      text    the call's position
--   code     word    ok or err
--   payload  bytes   result or error
--   stream   key     the stream the message came by
--   message  id      the message
-- RETURNS { word, outbox }
--   OK      delivered
--   STALE   nobody waits for it any more
-- COST  O(1)
--- @include apply
redis.call('XACK', stream, 'g', message)
redis.call('XDEL', stream, message)
local word = fx.deliver(run, pos, code, payload) and 'OK' or 'STALE'
return { word, outbox }
