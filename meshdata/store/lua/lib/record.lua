-- record: change one record. Every change is one HSET (and one HDEL where fields go), because the search module indexes
-- the hash anew after each command that touches it. Whoever writes a record asks fx.watch before.
-- Needs claims, elements and changed, which few calls do: a script takes them in lazily.
--- @include fx
--- @include now
--- @include watch
function fx.record_key(job) return base .. 'r:' .. job end

-- The system fields a change carries; on a record that is not there yet, all that make it one. fx.rev: the new revision.
-- `rev` is the revision it has, where the caller knows it: false for none.
function fx.stamp(job, fields, status, rev)
  if rev == nil then rev = redis.call('HGET', fx.record_key(job), '_rev') end
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
  fx.rev = tostring((tonumber(rev) or 0) + 1)
  fields[#fields + 1] = '_rev'
  fields[#fields + 1] = fx.rev
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

-- change_record(job, op, arguments) -> 'OK' or a word that says why not, and the result as text. Nothing was written
-- unless the word is OK.
--   set     nfields, field, value, ..., field to delete, ...    number of new fields. A field "_!<name>" is the claim of
--           the unique field <name>: see lib/claims.lua. TAKEN, CLAIM
--   delete  field, ...                                          number of fields removed
--   incr    field, amount                                       the new value. NOTNUMBER, CLAIM
--   mult    field, factor                                       the new value; an absent field counts as 1
--   append, remove  field, separator, list or set, value, ...   number of values that came or went. CLAIM
--   drop                                                        1 if the record is gone by this, else 0
local changes = {}

function changes.set(job, key, known, arguments, status)
  local pairs_end = 1 + 2 * tonumber(arguments[1])
  local fields, gone, wanted = {}, {}, {}
  for i = 2, pairs_end, 2 do
    if string.sub(arguments[i], 1, 2) == '_!' then
      wanted[#wanted + 1], wanted[#wanted + 2] = string.sub(arguments[i], 3), arguments[i + 1]
    else
      fields[#fields + 1], fields[#fields + 2] = arguments[i], arguments[i + 1]
    end
  end
  for i = pairs_end + 1, #arguments do gone[#gone + 1] = arguments[i] end
  local new = #fields / 2
  if known[1] then
    for i = 1, #fields, 2 do new = new - redis.call('HEXISTS', key, fields[i]) end
  end
  if known[2] or #wanted > 0 then
    local word, about = fx.claim(job, known[2], wanted, fields, gone)
    if word then return word, about end
  end
  fx.in_parts('HSET', key, fx.stamp(job, fields, status, known[1]))
  if #gone > 0 and known[1] then fx.in_parts('HDEL', key, gone) end
  return 'OK', tostring(new)
end

function changes.delete(job, key, known, arguments, status)
  if not known[1] then return 'OK', '0' end
  local removed = fx.in_parts('HDEL', key, arguments)
  if removed > 0 then
    local fields = {}
    if known[2] then
      fx.claim(job, known[2], {}, fields, arguments)
      if arguments[#arguments] == '_claims' then redis.call('HDEL', key, '_claims') end
    end
    redis.call('HSET', key, unpack(fx.stamp(job, fields, status, known[1])))
  end
  return 'OK', tostring(removed)
end

local function count(op, job, key, known, arguments, status)
  local field, amount = arguments[1], tonumber(arguments[2])
  local old = redis.call('HGET', key, field)
  if old and not tonumber(old) then return 'NOTNUMBER', field end
  if known[2] and fx.is_claimed(known[2], field) then return 'CLAIM', field end
  local value
  if op == 'incr' then
    value = redis.pcall('HINCRBYFLOAT', key, field, arguments[2])
    if type(value) == 'table' then return 'NOTNUMBER', field end
  else
    value = number_text((old and tonumber(old) or 1) * amount)
    if string.find(value, '[nN]') then return 'NOTNUMBER', field end
  end
  redis.call('HSET', key, unpack(fx.stamp(job, { field, value }, status, known[1])))
  return 'OK', value
end

local function elements(op, job, key, known, arguments, status)
  local field = arguments[1]
  local text, changed = fx.change_elements(op, redis.call('HGET', key, field), arguments)
  if changed > 0 then
    redis.call('HSET', key, unpack(fx.stamp(job, { field, text }, status, known[1])))
  end
  return 'OK', tostring(changed)
end

function changes.drop(job, key)
  fx.release_claims(job)
  return 'OK', tostring(redis.call('DEL', key))
end

local function change(job, op, arguments, status)
  local key = fx.record_key(job)
  local known = redis.call('HMGET', key, '_rev', '_claims')
  if op == 'incr' or op == 'mult' then return count(op, job, key, known, arguments, status) end
  if op == 'append' or op == 'remove' then return elements(op, job, key, known, arguments, status) end
  return changes[op](job, key, known, arguments, status)
end

function fx.change_record(job, op, arguments, status)
  local watched = fx.watch(job)
  local word, result = change(job, op, arguments, status)
  if watched then fx.changed(watched) end
  return word, result
end

-- A record without a job may have a time to live of its own, in ms.
function fx.expire_record(job, ttl)
  redis.call('PEXPIRE', fx.record_key(job), ttl)
  fx.expire_claims(job, 'PEXPIRE', ttl)
end
