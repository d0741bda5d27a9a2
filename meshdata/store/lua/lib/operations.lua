-- operations: what a step may do besides writing an outcome (`done`, in step.lua). What comes from outside is registered in
-- the header first; an effect on something else is a message to its partition.
--- @include apply
--- @include append
--- @include ended
--- @include pack
local operations = {}

-- Ends of calls that the process did not know of when it decided on the step.
local news
local function is_over(dim, job, pos)
  if not news then
    news = {}
    for _, entry in ipairs(redis.call('LRANGE', journal_key(dim, job), fx.seen, -1)) do
      local at, code = string.match(entry, '^%S+ (%S+) %S+ (%S+)')
      if code ~= 'try' and code ~= 'due' and code ~= 'begin' then news[at] = true end
    end
  end
  return news[pos]
end

-- Register what the run waits for, once: a replayed call finds its wait where it stands, or its end.
local function await(dim, job, pos, kind, partition, timer, name)
  if is_over(dim, job, pos) then return false end
  local header = header_key(dim, job)
  if redis.call('HSETNX', header, 'w:' .. pos, kind .. ' ' .. partition .. ' ' .. timer .. '/' .. now .. ' ' .. name) == 0 then return false end
  redis.call('HSET', header, 'loose', '1')
  return true
end

local function timer(dim, job, pos, delay)
  fx.set_timer('d ' .. pos .. ' ' .. dim .. ' ' .. job, now_up + tonumber(delay))
end

-- a failed attempt, and when the next is due: position, name, error, delay, how many ms it took
function operations.try(a, dim, job)
  append(dim, job, a[1], 'activity', 'try', a[2], a[3], a[5])
  if await(dim, job, a[1], 'activity', here, '1', a[2]) then timer(dim, job, a[1], a[4]) end
end

-- durable time: position, kind (sleep or timeout), delay
function operations.timer(a, dim, job)
  if await(dim, job, a[1], a[2], here, '1', '') then timer(dim, job, a[1], a[3]) end
end

-- a signal: position, key, the key's partition, timeout or ''
function operations.wait(a, dim, job)
  if not await(dim, job, a[1], 'wait', a[3], a[4] == '' and '0' or '1', a[2]) then return end
  if a[4] ~= '' then timer(dim, job, a[1], a[4]) end
  fx.send(a[3], { 'wait', a[2], here .. ' ' .. a[1] .. ' ' .. dim .. ' ' .. job })
end

-- a signal on one of several keys: position, timeout or '', the keys parted by 0x1f, and each one's partition and itself
function operations.any(a, dim, job)
  local partitions = {}
  for i = 4, #a, 2 do partitions[#partitions + 1] = a[i] end
  if not await(dim, job, a[1], 'any', table.concat(partitions, ','), a[2] == '' and '0' or '1', a[3]) then return end
  if a[2] ~= '' then timer(dim, job, a[1], a[2]) end
  for i = 4, #a, 2 do
    -- A payload that was there before has ended it: the other keys keep theirs.
    if redis.call('HEXISTS', header_key(dim, job), 'w:' .. a[1]) == 0 then return end
    fx.send(a[i], { 'wait', a[i + 1], here .. ' ' .. a[1] .. ' ' .. dim .. ' ' .. job })
  end
end

-- a message on the control-plane bus: position, topic, channel, message
function operations.emit(a, dim, job)
  append(dim, job, a[1], 'emit', 'ok', a[2], 'null')
  redis.call('PUBLISH', a[3], a[4])
end

-- an effect elsewhere that answers: position, kind, partition, name, verb, arguments; '@' stands for the asker
function operations.ask(a, dim, job, link)
  if not await(dim, job, a[1], a[2], a[3], '0', a[4]) then return end
  -- HSETNX: a second start under the id of a living child is refused, and must not take the child's place.
  if link then redis.call('HSETNX', header_key(dim, job), 'c:' .. a[4], link) end
  local m = {}
  for i = 5, #a do m[i - 4] = a[i] == '@' and here .. ' ' .. a[1] .. ' ' .. dim .. ' ' .. job or a[i] end
  fx.send(a[3], m)
end

-- a child: what becomes of it when this job ends (see children.lua), then as `ask`
function operations.child(a, dim, job)
  local policy = table.remove(a, 1)
  operations.ask(a, dim, job, a[3] .. ' ' .. a[1] .. ' ' .. policy)
end

-- an activity for another worker: position, name, topic, body, and how many ms it has until its deadline, if any
function operations.call(a, dim, job)
  if not await(dim, job, a[1], 'activity', here, a[5] and '2' or '0', a[2]) then return end
  if a[5] then fx.set_timer('e ' .. a[1] .. ' ' .. dim .. ' ' .. job, now_up + tonumber(a[5])) end
  redis.call('XADD', base .. 'q:' .. a[3], '*', 'a', dim .. ' ' .. job, 'p', a[1], 'b', a[4])
end

-- what an attempt of an activity tells of its progress: position, details; without details, it is over
function operations.beat(a, dim, job)
  if a[2] then
    redis.call('HSET', header_key(dim, job), 'b:' .. a[1], a[2], 'loose', '1')
  else
    redis.call('HDEL', header_key(dim, job), 'b:' .. a[1])
  end
end

-- the record: position, name, operation, arguments
function operations.state(a, dim, job)
  local word, result
  if a[3] == 'get' or a[3] == 'all' then
    local values
    if a[3] == 'all' then
      values = redis.call('HGETALL', fx.record_key(job))
    else
      values = redis.call('HMGET', fx.record_key(job), unpack(a, 4))
    end
    -- An absent field is '-', a present one '+' and its text.
    for i = 1, #values do values[i] = values[i] and '+' .. values[i] or '-' end
    word, result = 'OK', pack(values)
  else
    local arguments = {}
    for i = 4, #a do arguments[i - 3] = a[i] end
    -- A hook may outlive the main function: the record says how that stands.
    local main = dim ~= '0' and redis.call('HGET', header_key('0', job), 'status')
    word, result = fx.change_record(job, a[3], arguments, ended(main) and main or 'running')
  end
  append(dim, job, a[1], 'state', string.lower(word), a[2], result)
end

-- a signal that came for a wait which was given up before it was told: place of its entry, position, partitions of the
-- keys. The entry says so from then on, so that it goes back once.
function operations.back(a, dim, job)
  local journal = journal_key(dim, job)
  local entry = fx.whole(dim, job, { redis.call('LINDEX', journal, a[1]) or '' })[1]
  local at, pos, kind, code, keys, payload = string.match(entry, '^(%S+) (%S+) (%S+) (%S+) ([^\n]*)\n(.*)$')
  if pos ~= a[2] or code ~= 'ok' then return end
  redis.call('LSET', journal, a[1], table.concat({ at, pos, kind, 'back', keys }, ' ') .. '\n')
  fx.give_back(kind, keys, a[3], payload)
end

-- a wait nobody waits for any more: position
function operations.cancel(a, dim, job)
  local header = header_key(dim, job)
  redis.call('HDEL', header, 'b:' .. a[1])
  local wait = redis.call('HGET', header, 'w:' .. a[1])
  if not wait then return end
  redis.call('HDEL', header, 'w:' .. a[1])
  fx.disarm(dim, job, a[1], wait, true)
end

function fx.operate(name, arguments, dim, job) return operations[name](arguments, dim, job) end
