-- begin_job: let a job begin that was there and did not run: one started with a delay, or reserved. Its start is counted
-- from `at`, ms as text.
--- @include fx
--- @include keys
--- @include now
--- @include watch
--- @include queue_new
--- @include large
function fx.begin_job(job, at)
  local header, journal = header_key('0', job), journal_key('0', job)
  local h = redis.call('HMGET', header, 'status', 'topic', 'fence', 'limit', 'class', 'key')
  redis.call('ZREM', base .. 'timers', (h[1] == 'pending' and 'p' or 'q') .. ' 0 ' .. job)
  if h[1] == 'pending' then
    for _, kind in ipairs({ 'j:', 'l:', 'r:', 'v:' }) do redis.call('PERSIST', base .. kind .. job) end
    fx.keep_claims(job)
  end
  local start = redis.call('LINDEX', journal, 0)
  redis.call('LSET', journal, 0, at .. string.sub(start, string.find(start, ' ', 1, true), -1))
  local body = fx.get_large('0', job, string.sub(start, string.find(start, '\n', 1, true) + 1))
  local limits, where, place = redis.call('HGET', base .. 'limits', h[2]), nil, nil
  if limits or h[5] then
    where, place = fx.place(limits, h[2], h[5], h[6] or '', h[3])
    redis.call('HSET', header, 'status', 'queued', where, place)
  else
    redis.call('HSET', header, 'status', 'queued', 'message', 'q' .. fx.queue_new(h[2], '0 ' .. job, h[3], at, body))
  end
  redis.call('HDEL', header, 'due')
  if h[4] then fx.set_timer('x 0 ' .. job, now_up + tonumber(h[4])) end
  if redis.call('EXISTS', fx.record_key(job)) == 1 then
    local watched = fx.watch(job)
    redis.call('HSET', fx.record_key(job), unpack(fx.stamp(job, {}, 'running')))
    if watched then fx.changed(watched) end
  end
  if where then fx.placed(where, place, '0 ' .. job, h[2], h[5] or 'q', h[3]) end
end
