-- timers: one sorted set per partition, member "<what> <...>", score the due time in ms. A timer that becomes the first
-- one is announced, so that pollers sleep no longer than they may.
--- @include fx
--- @include now
function fx.set_timer(member, due)
  redis.call('ZADD', base .. 'timers', 'NX', due, member)
  if redis.call('ZRANGE', base .. 'timers', 0, 0)[1] == member then
    redis.call('PUBLISH', base .. 'timer-hint', string.format('%.0f', due - now_n))
  end
end
