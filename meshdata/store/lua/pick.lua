-- pick: a message was read that names no run: become the one process that may write the first in line of its topic.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   topic    text    the topic
--   process  id      who takes it
--   stream   key     the stream the message came by
--   message  id      the message
-- RETURNS { word, run, fence, entries }
--   OK      taken, with its whole journal: its start; the message is consumed
--   EMPTY   nobody is in line any more, or the message was consumed before
-- HOLDS
--   (1) there are as many messages as members of the line, or more: whoever is in it is picked
-- COST  O(1); O(members that have ended meanwhile)
--- @include fx
--- @include keys
--- @include line
redis.call('XACK', stream, 'g', message)
if redis.call('XDEL', stream, message) == 0 then return { 'EMPTY', '', '', {} } end
local run, fence = fx.pick(topic)
if not run then return { 'EMPTY', '', '', {} } end
local dim, job = split_run(run)
redis.call('HSET', header_key(dim, job), 'owner', process, 'status', 'running')
redis.call('HDEL', header_key(dim, job), 'line')
redis.call('SADD', base .. 'own:' .. process, run)
return { 'OK', run, fence, redis.call('LRANGE', journal_key(dim, job), 0, -1) }
