-- take_over: put back what a dead process held: the runs it owned, and the messages it had read and not consumed; those
-- of readers that nobody knows too. Streams that only it served and nothing waits in go away.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   dead     id      the process whose life sign lapsed
--   limit    number  runs and messages to put back at most
--   deaths   number  a run that took so many processes with it, none of them getting on by a step, goes to the dead
--                    letters; '' if it is the process itself that gives all back, which is no death
--   payload  bytes   the error such a run ends with
--   problem  text    its message
-- RETURNS { word, put back, outbox }
--   MORE    there is more: call again
--   DONE    nothing is left of it
--   ALIVE   it lives
-- HOLDS
--   (1) a run is put back once: its fence and owner decide, under whatever number of callers
-- COST  O(limit + consumers)
--- @include fx
--- @include keys
--- @include now
--- @include ended
--- @lazy apply
--- @lazy answered
--- @include real_now
--- @include retire
local score = redis.call('ZSCORE', base .. 'procs', dead)
local left, put_back, died = tonumber(limit), 0, deaths ~= ''
if died and score and tonumber(score) >= real_now() then return { 'ALIVE', 0, 0 } end

-- Runs that were on board of more than one death are suspects. They come back one after another, so that the one which
-- kills does not take the others with it again: those before it get on, those after it are in nobody's hands.
local SUSPECT_MS = 100
local suspects = 0

-- A run that waits for something did most likely nothing else when its process died: it is given more time to leave
-- the company of the one that kills.
local function limit_of(header)
  for _, field in ipairs(redis.call('HKEYS', header)) do
    if string.sub(field, 1, 2) == 'w:' then return tonumber(deaths) * 4 end
  end
  return tonumber(deaths)
end

local function put_back_run(dim, job)
  local header = header_key(dim, job)
  local count = died and redis.call('HINCRBY', header, 'deaths', 1) or 0
  if died and count >= tonumber(deaths) and count >= limit_of(header) then
    local start = redis.call('LINDEX', journal_key(dim, job), 0) or ''
    local h = redis.call('HMGET', header, 'topic', 'ttl', 'hookable')
    redis.call('XADD', base .. 'dead', 'MAXLEN', '~', 10000, '*', 'run', dim .. ' ' .. job, 'error', problem,
      'body', fx.get_large(dim, job, string.match(start, '^[^\n]*\n(.*)$') or ''), 'topic', h[1] or '', 'ttl', h[2] or '',
      'hookable', h[3] or '', 'name', string.match(start, '^%S+ %S+ %S+ %S+ ([^\n]*)') or '')
    redis.call('HINCRBY', header, 'fence', 1)
    fx.finish(dim, job, 'failed', 'err', payload, '', problem)
  elseif count > 1 then
    redis.call('HINCRBY', header, 'fence', 1)
    redis.call('HSET', header, 'status', 'backoff', 'owner', '')
    fx.set_timer('q ' .. dim .. ' ' .. job, now_up + suspects * (count - 1) * SUSPECT_MS)
    suspects = suspects + 1
  else
    fx.requeue(dim, job)
  end
  put_back = put_back + 1
end

for _, run in ipairs(redis.call('SPOP', base .. 'own:' .. dead, left)) do
  local dim, job = split_run(run)
  left = left - 1
  if redis.call('HGET', header_key(dim, job), 'owner') == dead then put_back_run(dim, job) end
end

local streams, topics = {}, redis.call('SMEMBERS', base .. 'topics')
for _, topic in ipairs(topics) do
  streams[#streams + 1] = base .. 'c:' .. topic
  streams[#streams + 1] = base .. 'q:' .. topic
end

-- A process that was taken for dead while a read of its was under way, and did die then, is known to nobody but the
-- groups: what that read brought is put back too.
local function strays(stream)
  local names, consumers = {}, redis.pcall('XINFO', 'CONSUMERS', stream, 'g')
  if consumers.err then return names end
  for _, consumer in ipairs(consumers) do
    local name
    for i = 1, #consumer, 2 do
      if consumer[i] == 'name' then name = consumer[i + 1] end
    end
    if name ~= dead and not redis.call('ZSCORE', base .. 'procs', name) then names[#names + 1] = name end
  end
  return names
end

local function pending_of(stream, names)
  local found = {}
  for _, name in ipairs(names) do
    local pending = redis.pcall('XPENDING', stream, 'g', '-', '+', math.max(left, 1), name)
    if not pending.err then
      for _, item in ipairs(pending) do found[#found + 1] = item end
    end
  end
  return found
end

local function put_back_call(stream, id, m)
  local count = (tonumber(m.n) or 0) + (died and 1 or 0)
  local entry = m.e or ''
  put_back = put_back + 1
  if died and count >= tonumber(deaths) then
    redis.call('XADD', base .. 'dead', 'MAXLEN', '~', 10000, '*', 'run', 'x ' .. (entry ~= '' and entry or m.x),
      'position', 'call', 'error', problem, 'body', m.b, 'topic', string.sub(stream, #base + 3))
    fx.answered(m.x, m.w or '', 'err', payload, entry, m.o or '')
    return
  end
  local fields = { 'n', count }
  for name, value in pairs(m) do
    if name ~= 'n' then fields[#fields + 1], fields[#fields + 2] = name, value end
  end
  local message = redis.call('XADD', stream, '*', unpack(fields))
  if entry ~= '' and redis.call('HGET', base .. 'e:' .. entry, 'x') == m.x then
    redis.call('HSET', base .. 'e:' .. entry, 'm', message)
  end
end

local lost = {}
for _, stream in ipairs(streams) do
  if left <= 0 then break end
  local names = strays(stream)
  lost[stream] = names
  for _, item in ipairs(pending_of(stream, { dead, unpack(names) })) do
    local id = item[1]
    local found = redis.call('XRANGE', stream, id, id)[1]
    redis.call('XACK', stream, 'g', id)
    redis.call('XDEL', stream, id)
    left = left - 1
    if found then
      local m = {}
      for i = 1, #found[2], 2 do m[found[2][i]] = found[2][i + 1] end
      if m.r then
        local dim, job = split_run(m.r)
        local h = redis.call('HMGET', header_key(dim, job), 'fence', 'status')
        if h[1] == m.f and h[2] == 'queued' then put_back_run(dim, job) end
      elseif m.x then
        put_back_call(stream, id, m)
      elseif m.k then
        redis.call('XADD', stream, '*', 'k', m.k) -- it is for the first in line, whoever that is by now
        put_back = put_back + 1
      elseif died and (tonumber(m.n) or 0) + 1 >= tonumber(deaths) then
        redis.call('XADD', base .. 'dead', 'MAXLEN', '~', 10000, '*', 'run', m.a, 'position', m.p, 'error', problem, 'body', m.b)
        fx.deliver(m.a, m.p, 'err', payload)
        put_back = put_back + 1
      else
        redis.call('XADD', stream, '*', 'a', m.a, 'p', m.p, 'b', m.b, 'n', (tonumber(m.n) or 0) + (died and 1 or 0))
        put_back = put_back + 1
      end
    end
  end
end
if left <= 0 then return { 'MORE', put_back, fx.outbox } end
for _, stream in ipairs(streams) do
  redis.pcall('XGROUP', 'DELCONSUMER', stream, 'g', dead)
  for _, name in ipairs(lost[stream]) do redis.pcall('XGROUP', 'DELCONSUMER', stream, 'g', name) end
end
for _, topic in ipairs(topics) do retire(topic) end
redis.call('ZREM', base .. 'procs', dead)
redis.call('DEL', base .. 'wake:' .. dead)
return { 'DONE', put_back, fx.outbox }
