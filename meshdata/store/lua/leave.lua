-- leave: a process stops serving topics. What it had read and not consumed is put back by take_over first; a stream
-- nobody serves and nothing waits in goes away.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   process  id      who leaves
--   ...      topics
-- RETURNS { streams removed }
-- COST  O(topics)
--- @include retire
local removed = 0
for i = 4, #ARGV do
  for _, kind in ipairs({ 'q:', 'c:' }) do redis.pcall('XGROUP', 'DELCONSUMER', base .. kind .. ARGV[i], 'g', process) end
  removed = removed + retire(ARGV[i])
end
redis.call('ZREM', base .. 'procs', process)
redis.call('DEL', base .. 'wake:' .. process)
return { removed }
