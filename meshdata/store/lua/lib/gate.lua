-- gate: limits of a topic, over all processes: so many runs at once, so many begun within a time; each for the topic, or
-- for each key apart. What is under the same limits is a bucket, "<topic>:<key>". A bucket is whole in one partition,
-- whichever the runs are in. A run that is over the limit stands in the bucket's line, with no message; it is granted, and
-- queued, by the script that makes room: the end of another run, or a timer.
--
-- Whoever is granted is a member of the bucket until its run ends, whoever ends it, however often it changes hands: a death
-- loses no place and frees none. In the header, gate = "<partition> <rated> <fence> <bucket>": where the bucket is, and 1
-- while a rate counts the run and does not know yet when it began.
--- @include fx
--- @include keys
--- @include now
--- @include timers
--- @include queue_new
--- @include large
--- @include send
--- @include line
local AT_ONCE, LAG_MS = 100, 250

-- The limits of a topic: partitions, how many within how many ms, how many at once; 0 for no limit.
local function limits_of(bucket)
  local kept = redis.call('HGET', base .. 'limits', string.match(bucket, '^[^:]*'))
  local count, per, most = string.match(kept or '', '^%d+ (%d+) (%d+) (%d+)$')
  return tonumber(count) or 0, tonumber(per) or 0, tonumber(most) or 0
end

-- The gate of a run, for its header; `kept` is what `limits` has for its topic.
function fx.gate_of(kept, topic, key, fence)
  local partitions, count = string.match(kept, '^(%d+) (%d+)')
  local bucket = topic .. ':' .. key
  local home = 0
  if partitions ~= '1' then
    for i = 1, #bucket do home = (home * 33 + string.byte(bucket, i)) % 4294967296 end
    home = home % tonumber(partitions)
  end
  return string.format('%d %d %s %s', home, count == '0' and 0 or 1, fence, bucket)
end

local function parts(gate, run)
  local partition, rated, fence, bucket = string.match(gate, '^(%d+) (%d) (%d+) (.*)$')
  return partition, rated == '1', bucket, here .. ' ' .. fence .. ' ' .. run
end

-- A run whose header is written comes to its gate.
function fx.to_gate(gate, run, class)
  local partition, _, bucket, member = parts(gate, run)
  fx.send(partition, { 'enter', bucket, member, class })
end

-- A run has begun: its message was read a while ago, which is known as long as it is pending. Its function began a moment
-- after: what is reported within LAG_MS counts from its report.
function fx.begun(header, run, gate, stream, message)
  local partition, rated, bucket, member = parts(gate, run)
  if not rated then return end
  redis.call('HSET', header, 'gate', (string.gsub(gate, '^(%d+) 1', '%1 0')))
  local pending = now_ms == '' and stream ~= '' and redis.pcall('XPENDING', stream, 'g', message, message, 1)[1]
  local since = pending and math.max(0, pending[3] - LAG_MS) or 0
  fx.send(partition, { 'begun', bucket, member, string.format('%.0f', now_n - since) })
end

-- A run is over, or gone: its place is free. Begun or not: nobody knows of one that was granted and wrote nothing.
function fx.from_gate(gate, run, was_granted)
  local partition, rated, bucket, member = parts(gate, run)
  fx.send(partition, { 'exit', bucket, member, rated and (was_granted and now or '') or '-' })
end

-- --- in the bucket's partition

-- Look again when the first of those that count is so long ago that it counts no more.
local function wake(bucket, per)
  if redis.call('EXISTS', base .. 'gl:' .. bucket) == 0 then return end
  local first = redis.call('ZRANGE', base .. 'gr:' .. bucket, 0, 0, 'WITHSCORES')
  local began = tonumber(first[2])
  if not began or began == math.huge then return end
  redis.call('ZREM', base .. 'timers', 'g ' .. bucket)
  fx.set_timer('g ' .. bucket, string.format('%.0f', math.max(began + per, now_n)))
end

-- Grant whoever is in line as far as there is room.
function fx.open_gate(bucket)
  local line, inside, rates = base .. 'gl:' .. bucket, base .. 'gs:' .. bucket, base .. 'gr:' .. bucket
  local count, per, most = limits_of(bucket)
  if count > 0 then redis.call('ZREMRANGEBYSCORE', rates, '-inf', string.format('%.0f', now_n - per)) end
  for _ = 1, AT_ONCE do
    if redis.call('EXISTS', line) == 0 then
      redis.call('ZREM', base .. 'timers', 'g ' .. bucket)
      return
    end
    if most > 0 and redis.call('SCARD', inside) >= most then return end
    if count > 0 and redis.call('ZCARD', rates) >= count then return wake(bucket, per) end
    local member = fx.next_in_line(bucket)
    if most > 0 then redis.call('SADD', inside, member) end
    if count > 0 then
      redis.call('ZADD', rates, '+inf', member)
      redis.call('PERSIST', rates)
    end
    local partition, fence, run = string.match(member, '^(%d+) (%d+) (.*)$')
    fx.send(partition, { 'grant', run, fence })
  end
  redis.call('ZREM', base .. 'timers', 'g ' .. bucket)
  fx.set_timer('g ' .. bucket, now)
end

-- A rate counts a run from its grant to its beginning, and then for as long as it says.
local function has_begun(bucket, member, ms)
  local rates = base .. 'gr:' .. bucket
  local _, per = limits_of(bucket)
  if redis.call('ZSCORE', rates, member) then
    redis.call('ZADD', rates, ms, member)
    if redis.call('ZCOUNT', rates, '+inf', '+inf') == 0 then redis.call('PEXPIRE', rates, math.max(per, 1)) end
  end
  wake(bucket, per)
end

function fx.at_gate(verb, bucket, member, what)
  if verb == 'enter' then
    fx.line_up(bucket, member, what)
  elseif verb == 'begun' then
    return has_begun(bucket, member, what)
  elseif verb == 'exit' then
    redis.call('ZREM', base .. 'gl:' .. bucket, member)
    if redis.call('EXISTS', base .. 'gl:' .. bucket) == 0 then redis.call('DEL', base .. 'gv:' .. bucket) end
    redis.call('SREM', base .. 'gs:' .. bucket, member)
    if what == '' then redis.call('ZREM', base .. 'gr:' .. bucket, member) end
    if what ~= '' and what ~= '-' then has_begun(bucket, member, what) end
  end
  fx.open_gate(bucket)
end

-- In the run's partition: it has room now. One that is over by now, or another of its name, is not meant.
function fx.grant(run, fence)
  local dim, job = split_run(run)
  local header = header_key(dim, job)
  local h = redis.call('HMGET', header, 'status', 'gate', 'message', 'topic')
  if h[1] ~= 'queued' or h[3] or not h[2] or string.match(h[2], '^%d+ %d (%d+)') ~= fence then return end
  local at, body = string.match(redis.call('LINDEX', journal_key(dim, job), 0) or '', '^(%d+)[^\n]*\n(.*)$')
  if not at then return end
  local message = fx.queue_new(h[4], run, redis.call('HGET', header, 'fence'), at, fx.get_large(dim, job, body))
  redis.call('HSET', header, 'message', 'q' .. message)
end
