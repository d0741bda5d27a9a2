-- record: change one record. Every change is one HSET (and one HDEL where fields go), because the search module indexes
-- the hash anew after each command that touches it. Whoever writes a record asks fx.watch before.
--- @include fx
--- @include now
--- @include watch
function fx.record_key(job) return base .. 'r:' .. job end

-- The system fields a change carries; on a record that is not there yet, all that make it one.
function fx.stamp(job, fields, status)
  local rev = redis.call('HGET', fx.record_key(job), '_rev')
  if not rev then
    local colon = string.find(job, ':', 1, true)
    local born = { '_entity', string.sub(job, 1, colon - 1), '_id', string.sub(job, colon + 1), '_created', now }
    for i = 1, #born do fields[#fields + 1] = born[i] end
  end
  if status then
    fields[#fields + 1] = '_status'
    fields[#fields + 1] = status
  end
  fields[#fields + 1] = '_updated'
  fields[#fields + 1] = now
  fields[#fields + 1] = '_rev'
  fields[#fields + 1] = tostring((tonumber(rev) or 0) + 1)
  return fields
end

-- Lua's unpack stops near 8,000 values: write long lists in parts.
function fx.in_parts(command, key, list)
  local total = 0
  for at = 1, #list, 4000 do
    total = total + redis.call(command, key, unpack(list, at, math.min(at + 3999, #list)))
  end
  return total
end

local function number_text(value)
  if value == math.floor(value) and math.abs(value) < 9007199254740992 then return string.format('%.0f', value) end
  return string.format('%.17g', value)
end

-- change_record(job, op, arguments) -> 'OK' or a word that says why not, and the result as text.
--   set    nfields, field, value, ..., field to delete, ...   number of new fields
--   delete field, ...                                         number of fields removed
--   incr   field, amount                                      the new value
--   mult   field, factor                                      the new value; an absent field counts as 1
local function change(job, op, arguments, status)
  local key = fx.record_key(job)
  if op == 'set' then
    local pairs_end = 1 + 2 * tonumber(arguments[1])
    local fields, gone, before = {}, {}, redis.call('HLEN', key)
    for i = 2, pairs_end do fields[#fields + 1] = arguments[i] end
    for i = pairs_end + 1, #arguments do gone[#gone + 1] = arguments[i] end
    local user_new = 0
    for i = 1, #fields, 2 do
      if before == 0 or redis.call('HEXISTS', key, fields[i]) == 0 then user_new = user_new + 1 end
    end
    fx.in_parts('HSET', key, fx.stamp(job, fields, status))
    if #gone > 0 then fx.in_parts('HDEL', key, gone) end
    return 'OK', tostring(user_new)
  elseif op == 'delete' then
    if redis.call('EXISTS', key) == 0 then return 'OK', '0' end
    local removed = fx.in_parts('HDEL', key, arguments)
    if removed > 0 then redis.call('HSET', key, unpack(fx.stamp(job, {}, status))) end
    return 'OK', tostring(removed)
  end
  local field, amount = arguments[1], tonumber(arguments[2])
  local old = redis.call('HGET', key, field)
  if old and not tonumber(old) then return 'NOTNUMBER', field end
  local value
  if op == 'incr' then
    value = redis.pcall('HINCRBYFLOAT', key, field, arguments[2])
    if type(value) == 'table' then return 'NOTNUMBER', field end
  else
    value = number_text((old and tonumber(old) or 1) * amount)
    if string.find(value, '[nN]') then return 'NOTNUMBER', field end
  end
  redis.call('HSET', key, unpack(fx.stamp(job, { field, value }, status)))
  return 'OK', value
end

function fx.change_record(job, op, arguments, status)
  local watched = fx.watch(job)
  local word, result = change(job, op, arguments, status)
  if watched then fx.changed(watched) end
  return word, result
end
