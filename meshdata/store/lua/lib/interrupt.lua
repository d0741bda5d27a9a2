-- interrupt: end a job from outside, now. Its processes hear of it, and their fences no longer fit. With descend, its
-- living children end with it, theirs too. Returns OK, NOTFOUND or ENDED.
--- @include fx
--- @include keys
--- @include ended
function fx.revoke(dim, job)
  local header = header_key(dim, job)
  local owner = redis.call('HGET', header, 'owner')
  redis.call('HINCRBY', header, 'fence', 1)
  redis.call('ZREM', base .. 'timers', 'q ' .. dim .. ' ' .. job)
  if owner and owner ~= '' then redis.call('PUBLISH', base .. 'hint:' .. owner, 'x ' .. dim .. ' ' .. job) end
end

function fx.interrupt(job, payload, problem, descend, throw, ttl, asker)
  local status = redis.call('HGET', header_key('0', job), 'status')
  if not status or ended(status) then
    fx.answer(asker, status and 'ended' or 'notfound', '')
    return status and 'ENDED' or 'NOTFOUND'
  end
  fx.revoke('0', job)
  local code, result = 'err', payload
  if throw == '0' then code, result, problem = 'ok', 'null', '' end
  local hooks, children = fx.finish('0', job, 'interrupted', code, result, ttl, problem)
  for _, dim in ipairs(hooks) do
    fx.revoke(dim, job)
    fx.finish(dim, job, 'interrupted', code, result, '', problem)
  end
  if descend == '1' then
    for _, child in ipairs(children) do
      fx.send(child[2], { 'interrupt', child[1], payload, problem, descend, throw, ttl, '' })
    end
  end
  fx.answer(asker, 'ok', 'null')
  return 'OK'
end
