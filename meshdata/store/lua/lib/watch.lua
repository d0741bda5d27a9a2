-- watch: whether somebody watches a record's entity, asked before each change of it. Returns nothing, and all it cost was
-- this HGET; or what fx.changed is to be given after the change: how the record was before.
--   local watched = fx.watch(job)
--   ...
--   if watched then fx.changed(watched) end
--- @include fx
function fx.watch(job)
  local entity = string.sub(job, 1, string.find(job, ':', 1, true) - 1)
  local epoch = redis.call('HGET', base .. 'watch:' .. entity, 'epoch')
  if epoch then return { job, entity, epoch, redis.call('HGETALL', base .. 'r:' .. job) } end
end

-- Write an entry to the stream that those who watch read: names and values in turn.
local CHANGES_KEPT = 10000

function fx.tell_watchers(entity, epoch, entry)
  local key, register = base .. 'ch:' .. entity, base .. 'watch:' .. entity
  local n = redis.call('HINCRBY', register, 'n', 1)
  redis.call('XADD', key, 'MAXLEN', '~', CHANGES_KEPT, epoch .. '-' .. n, unpack(entry))
  -- The stream is made by its first entry; those who watch make it last as long as they do.
  if n == 1 then redis.call('PEXPIRE', key, redis.call('PTTL', register)) end
  redis.call('PUBLISH', base .. 'changed:' .. entity, '')
end
