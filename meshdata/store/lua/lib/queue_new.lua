-- queue_new: the message of a run nobody has begun; its id. A body that is large is not sent twice: whoever reads the
-- message without one reads the journal.
--- @include fx
--- @include append
function fx.queue_new(topic, run, fence, at, body)
  local stream = base .. 'q:' .. topic
  if #body > LARGE_VALUE then return redis.call('XADD', stream, '*', 'r', run, 'f', fence) end
  return redis.call('XADD', stream, '*', 'r', run, 'f', fence, 't', at, 'b', body)
end
