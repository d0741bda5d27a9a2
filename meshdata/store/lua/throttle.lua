-- throttle: set how fast messages are taken in, of one topic or of all, and tell those who read them.
-- KEYS
--   base     prefix  the first partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   topic    text    '' for all, which takes every topic's own rate away
--   ms       number  between two messages of a topic in one process; 0 for none, -1 pauses
--   channel  text    the bus
--   message  JSON    what is told
-- RETURNS { }
-- HOLDS
--   (1) who reads the hash after it heard nothing is told of nothing later: what is kept is changed before it is told
-- COST  O(topics with a rate)
local key = base .. 'throttle'
if topic == '' then
  redis.call('DEL', key)
  if ms ~= '0' then redis.call('HSET', key, ':', ms) end
elseif ms == '0' and redis.call('HEXISTS', key, ':') == 0 then
  redis.call('HDEL', key, topic)
else
  redis.call('HSET', key, topic, ms)
end
redis.call('PUBLISH', channel, message)
return {}
