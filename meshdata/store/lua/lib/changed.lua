-- changed: tell those who watch an entity how a record changed. fx.changed(watched), with what lib/watch.lua noted before
-- the change, writes one entry to the entity's change stream:
--   _id    the record's id
--   _was   what it was before: names and values packed, "+<value>", or "-" for a name it did not have; '-' alone for a
--          record that was not there
--   _gone  1 where there is no record any more
--   _read  1 where it is too wide to be copied: those who watch read it
--   ...    the record's fields as they are now
-- Entries are numbered "<epoch>-<n>" without a gap, so that a reader sees when some were trimmed before it came to them.
--- @include fx
--- @include pack
--- @include watch
local MOST_COPIED = 1000 -- names and values; Lua's unpack stops near 8,000

local function pairs_of(flat)
  local found = {}
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end

local function difference(was, flat, is)
  if #was == 0 then return '-' end
  local old, out = pairs_of(was), {}
  for i = 1, #was, 2 do
    if is[was[i]] ~= was[i + 1] then out[#out + 1], out[#out + 2] = was[i], '+' .. was[i + 1] end
  end
  for i = 1, #flat, 2 do
    if not old[flat[i]] then out[#out + 1], out[#out + 2] = flat[i], '-' end
  end
  return pack(out)
end

function fx.changed(watched)
  local job, entity, epoch, was = unpack(watched)
  local id, flat = string.sub(job, #entity + 2), redis.call('HGETALL', base .. 'r:' .. job)
  if #was == 0 and #flat == 0 then return end
  local entry
  if #flat + #was > MOST_COPIED then
    entry = { '_id', id, '_read', '1' }
  elseif #flat == 0 then
    entry = { '_id', id, '_was', difference(was, flat, {}), '_gone', '1' }
  else
    local is = pairs_of(flat)
    local differs = difference(was, flat, is)
    if differs == '' then return end
    entry = { '_was', differs }
    if not is['_id'] then entry[3], entry[4] = '_id', id end
    for i = 1, #flat do entry[#entry + 1] = flat[i] end
  end
  fx.tell_watchers(entity, epoch, entry)
end
