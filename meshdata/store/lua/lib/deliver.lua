-- deliver: bring the outcome of something a run waits for. What is waited for stands in the header as
--   w:<position> = "<kind> <partition> <has timer>/<since> <name>"   (timer: 1 for its outcome, 2 a deadline, 3 both;
--   of a graph's work: the id of its message in place of the partition)
-- and taking it out is the right to deliver, so every outcome arrives once: of a signal and its timeout, one.
-- Returns true when this call delivered.
--- @include fx
--- @include keys
--- @include append
--- @include now
--- @include unqueue
local INLINE_HINT = 16384

-- How many ms something has taken that began then, as text; '' where it is not known (an earlier version wrote no time).
function fx.took(since) return since ~= '' and string.format('%.0f', math.max(0, now_n - since)) or '' end

-- Take the timer or the place in a signal's line away from a wait that is over; when all is over, work nobody has begun.
function fx.disarm(dim, job, pos, wait, is_end)
  local kind, partition, timer, since, name = string.match(wait, '^(%S+) (%S+) (%d)/?(%d*) (.*)$')
  local member = ' ' .. pos .. ' ' .. dim .. ' ' .. job
  if timer == '1' or timer == '3' then redis.call('ZREM', base .. 'timers', 'd' .. member) end
  if timer == '2' or timer == '3' then redis.call('ZREM', base .. 'timers', 'e' .. member) end
  if kind == 'wait' then fx.send(partition, { 'unwait', name, here .. ' ' .. pos .. ' ' .. dim .. ' ' .. job }) end
  if kind == 'reply' and is_end and string.find(partition, '-', 1, true) then fx.unqueue(name, 'q' .. partition) end
  if kind == 'any' then
    local partitions = string.gmatch(partition, '%d+')
    for key in string.gmatch(name, '[^\31]+') do
      fx.send(partitions(), { 'unwait', key, here .. ' ' .. pos .. ' ' .. dim .. ' ' .. job })
    end
  end
  return kind, name, fx.took(since)
end

-- Tell a run that its journal grew: its owner by a hint, or a worker by a continuation if nobody holds it.
function fx.notify(dim, job, index, entry)
  local run = dim .. ' ' .. job
  local state = redis.call('HMGET', header_key(dim, job), 'owner', 'status', 'fence')
  if state[1] and state[1] ~= '' then
    local hint = 'o ' .. index .. '/' .. state[3] .. ' ' .. run
    -- What stands for a large payload says nothing to a process: it reads the journal.
    if #entry <= INLINE_HINT and not string.find(entry, '\n\1', 1, true) then hint = hint .. '\n' .. entry end
    redis.call('SADD', base .. 'wake:' .. state[1], run)
    redis.call('PUBLISH', base .. 'hint:' .. state[1], hint)
  elseif state[2] == 'waiting' then
    fx.requeue(dim, job)
  end
end

-- A wait on several keys is told which of them it was: its payload is "[<number from 0>,<payload>]".
local function with_key(keys, key, payload)
  local at = 0
  for one in string.gmatch(keys, '[^\31]+') do
    if one == key then return '[' .. at .. ',' .. payload .. ']' end
    at = at + 1
  end
  return payload
end

-- key is that of the signal it is, if it is one.
function fx.deliver(run, pos, code, payload, key)
  local dim, job = split_run(run)
  local header = header_key(dim, job)
  local wait = redis.call('HGET', header, 'w:' .. pos)
  if not wait then return false end
  -- An activity of a graph may be answered more than once: its wait stands until the graph closes it.
  if string.sub(wait, 1, 6) ~= 'reply ' then redis.call('HDEL', header, 'w:' .. pos) end
  local kind, name, ms = fx.disarm(dim, job, pos, wait)
  if kind == 'activity' and code ~= 'due' then redis.call('HDEL', header, 'b:' .. pos) end
  if code ~= 'ok' and (kind == 'child' or kind == 'start' or kind == 'reply') then
    local child = redis.call('HGET', header, 'c:' .. name)
    if child and string.match(child, '^%d+ (%S+)') == pos then redis.call('HDEL', header, 'c:' .. name) end
  end
  if kind == 'any' and code == 'ok' then payload = with_key(name, key, payload) end
  local length, entry = append(dim, job, pos, kind, code, name, payload, ms)
  if run ~= fx.stepping then fx.notify(dim, job, length - 1, entry) end
  return true
end
