-- schedules: what starts a job again and again. A schedule is a hash, named "<entity>:<id>" like a job, in the partition of
-- that name; the jobs of its slots are where their own names put them. What is due next is computed in Python; here it is
-- made sure that each slot is started once, and that a schedule learns of the end of each run it started.
--- @include fx
--- @include now
--- @include pack
--- @include timers
function fx.schedule_key(name) return base .. 's:' .. name end

-- Due at `slot` unless it is paused, waits for a run to end, or has no slot any more.
function fx.arm_schedule(name, slot)
  redis.call('ZREM', base .. 'timers', 's ' .. name)
  if slot ~= '' then fx.set_timer('s ' .. name, string.format('%.0f', math.max(tonumber(slot), now_n))) end
end

function fx.drop_schedule(name)
  redis.call('ZREM', base .. 'timers', 's ' .. name)
  redis.call('SREM', base .. 'schedules', name)
  return redis.call('DEL', fx.schedule_key(name))
end

-- Start a job of it, in the job's partition. A job of that name is of a schedule that was there before: it gives way.
function fx.start_scheduled(name, partition, job, waiter)
  local key = fx.schedule_key(name)
  local h = redis.call('HMGET', key, 'topic', 'body', 'fn', 'ttl', 'queue', 'limit', 'born')
  redis.call('HINCRBY', key, 'running', 1)
  local further = pack({ '', '', '', '', h[5], '', '', h[6], here .. ' ' .. h[7] .. ' ' .. name })
  fx.send(partition, { 'start', job, h[1], h[2], h[3], h[4], '1', '', waiter, 'flush', '', further })
end

-- A run is over: code ok, err, or gone when it was flushed. born is that of the schedule that started it.
function fx.slot_ended(name, born, code, problem)
  local key = fx.schedule_key(name)
  local h = redis.call('HMGET', key, 'born', 'slot', 'waited', 'paused', 'on_error')
  if h[1] ~= born then return end
  local running = redis.call('HINCRBY', key, 'running', -1)
  local paused = h[4] == '1'
  if code == 'err' then
    redis.call('HINCRBY', key, 'failures', 1)
    redis.call('HSET', key, 'error', problem)
    if h[5] == 'stop' then
      fx.drop_schedule(name)
      return
    elseif h[5] == 'pause' then
      paused = true
      redis.call('HSET', key, 'paused', '1')
      redis.call('HINCRBY', key, 'rev', 1)
      fx.arm_schedule(name, '')
    end
  else
    redis.call('HDEL', key, 'error')
  end
  if h[2] == '' and running == 0 then
    fx.drop_schedule(name)
  elseif h[3] == '1' and not paused then
    fx.arm_schedule(name, h[2])
  end
end
