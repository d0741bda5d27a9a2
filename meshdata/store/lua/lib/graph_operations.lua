-- graph_operations: what a step of a graph job may do besides the operations of any run (see operations.lua).
--- @include operations
--- @include graph
--- @include statistics
local graph_operations = {}

-- state: names and values in turn
function graph_operations.set(a, dim, job)
  fx.in_parts('HSET', fx.graph_key(job), a)
end

-- state that nobody reads any more: names
function graph_operations.unset(a, dim, job)
  redis.call('HDEL', fx.graph_key(job), unpack(a))
end

-- work for a worker: position, topic, body. Its replies are taken until the activity is closed.
function graph_operations.work(a, dim, job)
  local message = redis.call('XADD', base .. 'q:' .. a[2], '*', 'a', dim .. ' ' .. job, 'p', a[1], 'b', a[3])
  local wait = 'reply ' .. message .. ' 0/' .. now .. ' ' .. a[2]
  redis.call('HSET', header_key(dim, job), 'w:' .. a[1], wait, 'loose', '1')
end

-- an effect on something else, which answers nobody: partition, verb, arguments
function graph_operations.send(a)
  local partition = table.remove(a, 1)
  fx.send(partition, a)
end

-- what is counted of the job: see lib/statistics.lua
function graph_operations.stat(a)
  fx.stat(a)
end

-- fields of the job's record: how many, then names and values in turn
function graph_operations.record(a, dim, job)
  fx.change_record(job, 'set', a, 'running')
end

-- the job's output as it is now, to those who subscribe: topic
function graph_operations.publish(a, dim, job)
  fx.graph_publish(job, a[1], (fx.graph_output(job)))
end

-- the same to the parent that waits for it: code
function graph_operations.tell(a, dim, job)
  local h = redis.call('HMGET', header_key(dim, job), 'parent', 'await')
  if h[1] and h[2] == '1' then fx.answer(h[1], a[1], (fx.graph_output(job))) end
end

-- the same to those who await its end, as if it had come
function graph_operations.answer(a, dim, job)
  local waiters = redis.call('HGET', header_key(dim, job), 'waiters')
  fx.tell_waiters(dim .. ' ' .. job, waiters, 'ok', (fx.graph_output(job)))
end

function fx.graph_operate(from, dim, job)
  local at = from
  while at <= #ARGV and not fx.stopped do
    local name, count, arguments = ARGV[at], tonumber(ARGV[at + 1]), {}
    for i = 1, count do arguments[i] = ARGV[at + 1 + i] end
    if graph_operations[name] then
      graph_operations[name](arguments, dim, job)
    else
      fx.operate(name, arguments, dim, job)
    end
    at = at + 2 + count
  end
end
