-- interrupt: end a job from outside, now. Its processes hear of it, and their fences no longer fit. With descend 1 its
-- living children end with it, theirs too; with 0 they go on; with 'policy' each has what its link says. Returns OK,
-- NOTFOUND or ENDED.
--- @include fx
--- @include keys
--- @include ended
--- @include unqueue

function fx.revoke(dim, job)
  local header = header_key(dim, job)
  local h = redis.call('HMGET', header, 'owner', 'status', 'topic', 'message')
  local owner = h[1]
  if h[2] == 'queued' and h[4] then fx.unqueue(h[3], h[4]) end
  if h[2] == 'parked' then redis.call('SREM', base .. 'parked:' .. h[3], dim .. ' ' .. job) end
  -- %.0f, because .. writes a number of so many digits as 1.79e+15
  local fence = string.format('%.0f', redis.call('HINCRBY', header, 'fence', 1))
  local run = dim .. ' ' .. job
  if run == fx.stepping then fx.stopped = true end
  redis.call('ZREM', base .. 'timers', 'q ' .. run, 'p ' .. run)
  if h[2] == 'pending' then
    for _, kind in ipairs({ 'j:', 'l:', 'r:', 'v:' }) do redis.call('PERSIST', base .. kind .. job) end
    fx.keep_claims(job)
  end
  if owner and owner ~= '' then redis.call('PUBLISH', base .. 'hint:' .. owner, 'x ' .. fence .. ' ' .. run) end
end

function fx.interrupt(job, payload, problem, descend, throw, ttl, asker, becomes)
  local status = redis.call('HGET', header_key('0', job), 'status')
  if not status or ended(status) then
    fx.answer(asker, status and 'ended' or 'notfound', '')
    return status and 'ENDED' or 'NOTFOUND'
  end
  fx.revoke('0', job)
  local code, result = 'err', payload
  if throw == '0' then code, result, problem = 'ok', 'null', '' end
  local hooks, children = fx.finish('0', job, becomes or 'interrupted', code, result, ttl, problem, true)
  for _, dim in ipairs(hooks) do
    fx.revoke(dim, job)
    local _, its = fx.finish(dim, job, 'interrupted', code, result, '', problem, true)
    for _, child in ipairs(its) do children[#children + 1] = child end
  end
  if descend == '1' then
    for _, child in ipairs(children) do
      redis.call('HDEL', header_key('0', job), 'c:' .. child[1])
      redis.call('HSET', header_key('0', job), 'e:' .. child[1], child[2])
      local interrupt = { 'interrupt', child[1], payload, problem, descend, throw, ttl, '' }
      fx.send(child[2], { 'disown', child[1], job, unpack(interrupt) })
    end
  end
  if descend == 'policy' then fx.close_children(job, children) end
  fx.answer(asker, 'ok', 'null')
  return 'OK'
end

-- A job whose time is up before it has ended fails, and its children end with it.
function fx.time_out(job)
  local limit = redis.call('HGET', header_key('0', job), 'limit')
  if not limit then return end
  local problem = 'it did not end within ' .. tonumber(limit) / 1000 .. ' s'
  local payload = '{"type":"MeshTimeout","message":"' .. problem .. '","code":596,"attempts":1,"traceback":""}'
  fx.interrupt(job, payload, problem, '1', '1', '', '', 'failed')
end
