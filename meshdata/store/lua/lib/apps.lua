-- apps: the versions of an app of graphs, base .. 'app:' .. app:
--   'rev'      one more with every change        'active'     the version that is carried out
--   'd:<v>'    what was deployed as a version    'a:<v>'      what was activated as it last
--   'm:<d>'    a model, by its digest
-- What was deployed or activated is written "<digest> <ms>".
--- @include fx
function fx.app_digest(key, field)
  local found = redis.call('HGET', key, field)
  return found and string.match(found, '^%S+')
end

-- Take a model away that no version refers to any more.
function fx.app_forget(key, digest)
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.find(field, '^[da]:') and fx.app_digest(key, field) == digest then return end
  end
  redis.call('HDEL', key, 'm:' .. digest)
end
