-- take_over: put back what a dead process held: the runs it owned, and the messages it had read and not consumed.
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
-- COST  O(limit)
--- @include fx
--- @include keys
--- @include now
--- @include ended
--- @lazy apply
--- @include real_now
local score = redis.call('ZSCORE', base .. 'procs', dead)
local left, put_back, died = tonumber(limit), 0, deaths ~= ''
if died and score and tonumber(score) >= real_now() then return { 'ALIVE', 0, 0 } end

local function put_back_run(dim, job)
  local header = header_key(dim, job)
  if died and redis.call('HINCRBY', header, 'deaths', 1) >= tonumber(deaths) then
    redis.call('XADD', base .. 'dead', 'MAXLEN', '~', 10000, '*', 'run', dim .. ' ' .. job, 'error', problem,
      'body', redis.call('LINDEX', journal_key(dim, job), 0) or '')
    redis.call('HINCRBY', header, 'fence', 1)
    fx.finish(dim, job, 'failed', 'err', payload, '', problem)
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

local streams = {}
for _, topic in ipairs(redis.call('SMEMBERS', base .. 'topics')) do
  streams[#streams + 1] = base .. 'c:' .. topic
  streams[#streams + 1] = base .. 'q:' .. topic
end
for _, stream in ipairs(streams) do
  if left <= 0 then break end
  local pending = redis.pcall('XPENDING', stream, 'g', '-', '+', left, dead)
  if pending.err then pending = {} end
  for _, item in ipairs(pending) do
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
for _, stream in ipairs(streams) do redis.pcall('XGROUP', 'DELCONSUMER', stream, 'g', dead) end
redis.call('ZREM', base .. 'procs', dead)
redis.call('DEL', base .. 'wake:' .. dead)
return { 'DONE', put_back, fx.outbox }
