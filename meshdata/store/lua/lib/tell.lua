-- tell: those who await an end hear of it; for who misses that, what is kept nowhere else is kept for a moment.
--- @include fx
local INLINE_RESULT = 65536
local ANSWER_MS = 30000

function fx.tell_waiters(run, waiters, code, payload)
  if not waiters or waiters == '' then return end
  local hint = 'd ' .. code .. ' ' .. run
  if #payload <= INLINE_RESULT then hint = hint .. '\n' .. payload end
  for process in string.gmatch(waiters, '%S+') do redis.call('PUBLISH', base .. 'hint:' .. process, hint) end
end

-- A job without a ttl is forgotten sooner than a caller who missed the hint asks again: its answer is kept for them, in a
-- key of its own, because the job's name is free again.
function fx.keep_answer(run, waiters, code, payload)
  if not waiters or waiters == '' then return end
  redis.call('SET', base .. 'a:' .. run, code .. '\n' .. payload, 'PX', ANSWER_MS)
end
