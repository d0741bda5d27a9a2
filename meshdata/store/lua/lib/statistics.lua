-- statistics: what an app counts of its jobs, in buckets of time, by the key that a trigger makes of its payload:
--   base .. 'st:' .. app .. ':' .. bucket .. ':' .. key            hash  the figures, see docs/keyspace.md
--   base .. 'ix:' .. app .. ':' .. bucket .. ':' .. #key .. ':' .. key .. ':' .. facet    list  ids of jobs
-- Both last for a time after the last job that was counted in them. An id has a number in its list that never changes:
-- those before it were taken away, or stand in front of it.
--- @include fx
--- @include keys
--- @include ended
function fx.stat_key(app, bucket, key) return base .. 'st:' .. app .. ':' .. bucket .. ':' .. key end

function fx.index_key(app, bucket, key, facet)
  return base .. 'ix:' .. app .. ':' .. bucket .. ':' .. #key .. ':' .. key .. ':' .. facet
end

-- Count a job: app, bucket, key, ttl in ms, the job's id; then an operation, a name and a value in turn:
--   add    a figure, and a number to add to it
--   max, min  a figure, and a number that it is at least, at most
--   index  a facet "<path>:<value>" that lists the job; value ''
function fx.stat(a)
  local figures, ttl = fx.stat_key(a[1], a[2], a[3]), a[4]
  for i = 6, #a, 3 do
    local operation, name, value = a[i], a[i + 1], a[i + 2]
    if operation == 'add' then
      redis.call('HINCRBYFLOAT', figures, name, value)
    elseif operation == 'index' then
      local list = fx.index_key(a[1], a[2], a[3], name)
      redis.call('RPUSH', list, a[5])
      redis.call('PEXPIRE', list, ttl)
      redis.call('HSET', figures, 'index:' .. name, '1')
    else
      local known = tonumber(redis.call('HGET', figures, name) or value)
      local is_new = operation == 'max' and tonumber(value) >= known or operation == 'min' and tonumber(value) <= known
      if is_new then redis.call('HSET', figures, name, value) end
    end
  end
  redis.call('PEXPIRE', figures, ttl)
end

-- index_ids(app, bucket, key, facet, from, limit, living) -> the number behind the last id looked at, ids. `living`
-- leaves out those of jobs that are over.
function fx.index_ids(app, bucket, key, facet, from, limit, living)
  local gone = tonumber(redis.call('HGET', fx.stat_key(app, bucket, key), 'gone:' .. facet) or 0)
  local first = math.max(from - gone, 0)
  local found, ids = redis.call('LRANGE', fx.index_key(app, bucket, key, facet), first, first + limit - 1), {}
  for _, id in ipairs(found) do
    local status = living and redis.call('HGET', header_key('0', app .. ':' .. id), 'status')
    if not living or (status and not ended(status)) then ids[#ids + 1] = id end
  end
  return gone + first + #found, ids
end

-- Take the ids before a number out of a list, those that are there still: what was added since it was read stays.
function fx.unindex(app, bucket, key, facet, upto)
  local figures, list = fx.stat_key(app, bucket, key), fx.index_key(app, bucket, key, facet)
  local gone = tonumber(redis.call('HGET', figures, 'gone:' .. facet) or 0)
  local count = math.min(tonumber(upto) - gone, redis.call('LLEN', list))
  if count <= 0 then return 0 end
  redis.call('LTRIM', list, count, -1)
  redis.call('HSET', figures, 'gone:' .. facet, string.format('%.0f', gone + count))
  if redis.call('LLEN', list) == 0 then redis.call('HDEL', figures, 'index:' .. facet) end
  return count
end
