-- finish: the end of a run, whatever ended it. Everything the end causes happens here: what it waited for is disarmed,
-- the result stored, the record closed, the expiry set, the parent answered, those who await it told.
--- @include fx
--- @include keys
--- @include now
--- @include append
--- @include ended
--- @include tell
local HOOK_KEEP_MS = 3600000
local FORGET_MS = 1000
local COMPACT = 64 -- see lib/stored.lua

function fx.expire(job, at)
  -- At one moment for all three: a header must not go before its journal. A clock that a test sets is not Redis's own,
  -- so there the time that is left counts.
  local command, value = 'PEXPIREAT', at
  if now_ms ~= '' then command, value = 'PEXPIRE', at - now_n end
  value = string.format('%.0f', value)
  redis.call(command, base .. 'j:' .. job, value)
  redis.call(command, base .. 'l:' .. job, value)
  redis.call(command, base .. 'r:' .. job, value)
  redis.call(command, base .. 'v:' .. job, value)
  redis.call(command, base .. 'g:' .. job, value)
  if redis.call('HEXISTS', base .. 'r:' .. job, '_claims') == 1 then fx.expire_claims(job, command, value) end
end

-- Everything a header says beyond its fixed fields: waits to disarm, hooks and children that live, and children that
-- ended and are kept.
function fx.loose_ends(dim, job, header)
  local hooks, children, remains = {}, {}, {}
  local all = redis.call('HGETALL', header)
  for i = 1, #all, 2 do
    local mark, name = string.sub(all[i], 1, 2), string.sub(all[i], 3)
    if mark == 'w:' then
      redis.call('HDEL', header, all[i])
      fx.disarm(dim, job, name, all[i + 1], true)
    elseif mark == 'k:' then
      hooks[#hooks + 1] = name
    elseif mark == 'c:' then
      local partition, policy = string.match(all[i + 1], '^(%d+) %S+ ?(.*)$')
      children[#children + 1] = { name, partition, policy, all[i + 1] }
    elseif mark == 'e:' then
      remains[#remains + 1] = { name, all[i + 1] }
    elseif all[i] == 'limit' then
      redis.call('ZREM', base .. 'timers', 'x ' .. dim .. ' ' .. job)
    end
  end
  return hooks, children, remains
end

-- When the job is over and its last hook too, its time to live begins (or goes on).
function fx.begin_expiry(job, ttl, expire_at)
  if ttl == 'inf' then return end
  local at = tonumber(expire_at) or (now_n + (tonumber(ttl) or FORGET_MS))
  fx.expire(job, math.max(at, now_n + FORGET_MS))
end

-- The schedule that started a job is told of its end.
function fx.end_slot(slot, code, problem)
  local partition, born, name = string.match(slot, '^(%d+) (%d+) (.*)$')
  fx.send(partition, { 'slotend', name, born, code, string.sub(problem, 1, 500) })
end

-- finish(...): status completed, failed or interrupted; code ok or err; problem the error's message for the record, '' if
-- none; ttl_override '' keeps the job's own ttl. Living children are dealt with by their policies, unless the caller does
-- that. Returns the living hooks and children.
function fx.finish(dim, job, status, code, payload, ttl_override, problem, leave_children)
  local run = dim .. ' ' .. job
  local header = header_key(dim, job)
  local h = redis.call('HMGET', header, 'owner', 'ttl', 'waiters', 'parent', 'loose', 'await', 'slot', 'graph', 'gate', 'message')
  local hooks, children, remains = {}, {}, {}
  if h[5] then hooks, children, remains = fx.loose_ends(dim, job, header) end
  local ttl = ttl_override ~= '' and ttl_override or h[2]
  if h[1] and h[1] ~= '' then redis.call('SREM', base .. 'own:' .. h[1], run) end
  local told = h[8] and fx.graph_end(job, status, code, payload, h[8])
  payload = told or payload
  redis.call('HSET', header, 'status', status, 'code', code, 'ended', now)
  if told then
    -- made of the job's state whenever somebody asks
  elseif #payload <= COMPACT then
    redis.call('HSET', header, 'result', payload)
  else
    append(dim, job, '0', 'end', code, '', payload)
  end
  -- What only a living run needs goes: a finished job is kept for its ttl, and there are many.
  redis.call('HDEL', header, 'owner', 'seq', 'message', 'waiters', 'loose', 'due', 'limit', 'slot', 'gate', 'line', 'class', 'key')
  if dim == '0' then
    if ttl ~= h[2] then redis.call('HSET', header, 'ttl', ttl) end
    if redis.call('EXISTS', fx.record_key(job)) == 1 then
      local fields = { '_ended', now }
      if problem ~= '' then fields[3], fields[4] = '_error', problem end
      local watched = fx.watch(job)
      redis.call('HSET', fx.record_key(job), unpack(fx.stamp(job, fields, status)))
      if watched then fx.changed(watched) end
    end
    if #hooks == 0 then fx.begin_expiry(job, ttl) end
    if ttl == '' then fx.keep_answer(run, h[3], code, payload) end
  else
    redis.call('PEXPIRE', header, HOOK_KEEP_MS)
    redis.call('PEXPIRE', journal_key(dim, job), HOOK_KEEP_MS)
    redis.call('PEXPIRE', base .. 'hv:' .. dim .. ':' .. job, HOOK_KEEP_MS)
    local main = header_key('0', job)
    redis.call('HDEL', main, 'k:' .. dim)
    -- The children a hook leaves behind are the job's.
    for _, child in ipairs(children) do redis.call('HSET', main, 'c:' .. child[1], child[4]) end
    for _, child in ipairs(remains) do redis.call('HSET', main, 'e:' .. child[1], child[2]) end
    local m = redis.call('HMGET', main, 'status', 'ttl', 'expire_at', 'hooks')
    local living = redis.call('HINCRBY', main, 'hooks', -1)
    if living == 0 and ended(m[1]) then
      fx.begin_expiry(job, m[2], m[3])
    end
  end
  fx.tell_waiters(run, h[3], code, payload)
  if h[4] and h[4] ~= '' then
    local partition, pos, parent = string.match(h[4], '^(%d+) (%S+) (.*)$')
    local kept = ttl ~= '' and here or ''
    fx.send(partition, { 'childend', parent, pos, h[6] == '1' and code or '', payload, job, kept })
  end
  if h[7] then fx.end_slot(h[7], code, problem) end
  if h[9] then fx.from_gate(h[9], run, h[10]) end
  if #children > 0 and not leave_children and (dim == '0' or ended(redis.call('HGET', header_key('0', job), 'status'))) then
    fx.close_children(job, children)
  end
  return hooks, children
end
