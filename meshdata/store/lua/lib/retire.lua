-- retire: take away the streams of a topic that nobody serves any more and nothing waits in. Returns how many it were.
local function retire(topic)
  local removed, gone = 0, 0
  for _, kind in ipairs({ 'q:', 'c:' }) do
    local stream = base .. kind .. topic
    if redis.call('EXISTS', stream) == 0 then
      gone = gone + 1
    elseif redis.call('XLEN', stream) == 0 then
      local consumers = 0
      for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
        for at = 1, #group, 2 do
          if group[at] == 'consumers' then consumers = consumers + group[at + 1] end
        end
      end
      if consumers == 0 then
        removed = removed + redis.call('DEL', stream)
        gone = gone + 1
      end
    end
  end
  if gone == 2 then redis.call('SREM', base .. 'topics', topic) end
  return removed
end
