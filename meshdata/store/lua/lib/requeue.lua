-- requeue: give a run to whoever reads its topic next. The fence goes up, so whoever ran it before can write no more.
--- @include fx
--- @include keys
function fx.requeue(dim, job)
  local header = header_key(dim, job)
  local topic = redis.call('HGET', header, 'topic')
  local fence = redis.call('HINCRBY', header, 'fence', 1)
  local message = redis.call('XADD', base .. 'c:' .. topic, '*', 'r', dim .. ' ' .. job, 'f', fence)
  redis.call('HSET', header, 'status', 'queued', 'owner', '', 'message', 'c' .. message)
end
