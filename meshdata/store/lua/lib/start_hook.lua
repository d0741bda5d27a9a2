-- start_hook: run a further function on a job, in a dimension of its own. Accepted while the main function runs, and
-- after it for as long as the job stays open. Returns OK and the dimension, NOTFOUND or CLOSED.
--- @include fx
--- @include keys
--- @include append
--- @include ended
--- @include first_fence
--- @include queue_new
--- @include large
function fx.start_hook(job, topic, body, name, waiter, asker)
  local header = header_key('0', job)
  local h = redis.call('HMGET', header, 'status', 'hookable', 'ttl', 'hooks', 'expire_at')
  if not h[1] then
    fx.answer(asker, 'notfound', '')
    return 'NOTFOUND', ''
  end
  local over = ended(h[1])
  if h[2] == '0' or h[1] == 'pending' or (over and (h[1] ~= 'completed' or h[3] == '')) then
    fx.answer(asker, 'closed', '')
    return 'CLOSED', ''
  end
  if over and (tonumber(h[4]) or 0) == 0 and h[3] ~= 'inf' then
    -- An open job's keys must not expire under a hook: the last hook to end lets time run on.
    local left = redis.call('PTTL', header)
    redis.call('HSET', header, 'expire_at', string.format('%.0f', now_n + left))
    for _, kind in ipairs({ 'j:', 'l:', 'r:', 'v:' }) do redis.call('PERSIST', base .. kind .. job) end
    fx.keep_claims(job)
  end
  local dim = redis.call('HINCRBY', header, 'dims', 1)
  redis.call('HINCRBY', header, 'hooks', 1)
  redis.call('HSET', header, 'k:' .. dim, name, 'loose', '1')
  local hook = header_key(tostring(dim), job)
  -- An earlier job of this id may have left its hooks' results, which are kept for an hour.
  redis.call('DEL', hook, journal_key(tostring(dim), job), fx.large_key(tostring(dim), job))
  local fence, run = first_fence(), dim .. ' ' .. job
  local limits = redis.call('HGET', base .. 'limits', topic)
  local where, place
  if limits then where, place = fx.place(limits, topic, 'q', '', fence) end
  redis.call('HSET', hook, 'status', 'queued', 'fence', fence, 'seq', '0', 'owner', '', 'topic', topic, 'created', now,
    'name', name, where or 'message', place or 'q' .. fx.queue_new(topic, run, fence, now, body))
  if waiter ~= '' then redis.call('HSET', hook, 'waiters', waiter) end
  append(tostring(dim), job, '0', 'start', 'ok', name, body)
  if where then fx.placed(where, place, run, topic, 'q', fence) end
  fx.answer(asker, 'ok', tostring(dim))
  return 'OK', tostring(dim)
end
