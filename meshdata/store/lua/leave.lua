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
local removed = 0
for i = 4, #ARGV do
  local idle = 0
  for _, kind in ipairs({ 'q:', 'c:' }) do
    local stream = base .. kind .. ARGV[i]
    redis.pcall('XGROUP', 'DELCONSUMER', stream, 'g', process)
    if redis.call('EXISTS', stream) == 0 then
      idle = idle + 1
    elseif redis.call('XLEN', stream) == 0 then
      local groups = redis.call('XINFO', 'GROUPS', stream)
      local consumers = 0
      for _, group in ipairs(groups) do
        for at = 1, #group, 2 do
          if group[at] == 'consumers' then consumers = consumers + group[at + 1] end
        end
      end
      if consumers == 0 then
        removed = removed + redis.call('DEL', stream)
        idle = idle + 1
      end
    end
  end
  if idle == 2 then redis.call('SREM', base .. 'topics', ARGV[i]) end
end
redis.call('ZREM', base .. 'procs', process)
redis.call('DEL', base .. 'wake:' .. process)
return { removed }
