-- unqueue: take a message away that nobody is to act on any more: of a run that ended before anybody began it, of work
-- that is not wanted. A message is named by its stream, q or c, and its id. A stream nobody reads goes with its last one.
--- @include fx
function fx.unqueue(topic, message)
  local stream = base .. string.sub(message, 1, 1) .. ':' .. topic
  local id = string.sub(message, 2)
  redis.pcall('XACK', stream, 'g', id)
  redis.call('XDEL', stream, id)
  local groups = redis.pcall('XINFO', 'GROUPS', stream)
  if #groups == 0 and not groups.err and redis.call('XLEN', stream) == 0 then redis.call('DEL', stream) end
end
