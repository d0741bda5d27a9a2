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
