-- answered: what came of a call: kept by its entry if it has one, told to those who await it.
--- @include calls
--- @include tell
local REFRESH_AGAIN_MS = 1000

-- What a run brought, kept as its start asked for: policy is, packed, ttl, stale, life of a failure (ms or 'inf'; '' or 0:
-- not kept), then tag and number in turn. Returns whether it was.
local function keep(key, entry, call, code, payload, policy)
  local h = redis.call('HMGET', key, 'c', 's')
  local asked = unpack_list(policy)
  local life = code == 'ok' and asked[1] or asked[3]
  local stale = code == 'ok' and asked[2] or ''
  local tags = { unpack(asked, 4) }
  if h[1] == 'ok' and code ~= 'ok' and h[2] and now_n < tonumber(h[2]) then
    -- The old answer is not thrown away for that; the next try is a moment off.
    redis.call('HSET', key, 'f', string.format('%.0f', math.min(tonumber(h[2]), now_n + REFRESH_AGAIN_MS)))
    return false
  end
  redis.call('HDEL', key, 'c', 'v', 'f', 's', 'g')
  if life == '' or life == '0' or not tags_hold(tags) then return false end
  local is_for_ever = life == 'inf'
  local fresh = is_for_ever and 'inf' or string.format('%.0f', now_up + tonumber(life))
  local fields = { 'c', code, 'v', payload, 'f', fresh, 'l', call }
  local left = not is_for_ever and tonumber(life) or 0
  if stale ~= '' and not is_for_ever then
    left = left + tonumber(stale)
    fields[#fields + 1], fields[#fields + 2] = 's', string.format('%.0f', now_up + left)
  end
  if #tags > 0 then fields[#fields + 1], fields[#fields + 2] = 'g', pack(tags) end
  redis.call('HSET', key, unpack(fields))
  left = string.format('%.0f', left)
  if is_for_ever then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, left) end
  for i = 1, #tags, 2 do
    local tag = tag_key(tags[i])
    redis.call('ZREMRANGEBYSCORE', tag, '-inf', now)
    redis.call('ZADD', tag, is_for_ever and 'inf' or string.format('%.0f', now_n + tonumber(left)), entry)
    if is_for_ever then
      redis.call('PERSIST', tag)
    else
      local known = redis.call('PTTL', tag)
      if known >= 0 and known < tonumber(left) then redis.call('PEXPIRE', tag, left) end
    end
  end
  return true
end

function fx.answered(call, waiter, code, payload, entry, policy)
  local run = run_of(call, entry)
  if entry == '' then
    fx.keep_answer(run, waiter, code, payload)
    fx.tell_waiters(run, waiter, code, payload)
    return
  end
  local key = entry_key(entry)
  local h = redis.call('HMGET', key, 'x', 'w:' .. call)
  redis.call('HDEL', key, 'w:' .. call)
  local is_kept = false
  if h[1] == call then
    redis.call('HDEL', key, 'x', 'm', 'd')
    is_kept = keep(key, entry, call, code, payload, policy)
  end
  if not is_kept then fx.keep_answer(run, h[2], code, payload) end
  fx.tell_waiters(run, h[2], code, payload)
end
