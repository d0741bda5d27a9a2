-- claims: unique fields. A claim is the key u:<entity>:<field>:<value>; it holds the id of the record that has the value.
-- A record lists its claims in _claims, name and value in turn, packed. A claim is valid if and only if (1) its key holds
-- the record's id, and (2) that record lists it; so one left behind by a record that is gone stands in nobody's way.
-- It lives as long as its record: what expires, keeps or removes a record does so with its claims.
--- @include fx
--- @include pack
local function claim_key(job, name, value)
  return base .. 'u:' .. string.sub(job, 1, string.find(job, ':', 1, true)) .. name .. ':' .. value
end

local function claims_of(packed)
  local list, held = packed and unpack_list(packed) or {}, {}
  for i = 1, #list, 2 do held[list[i]] = list[i + 1] end
  return held
end

-- Every claim of a record: fn(key).
local function each_claim(job, fn)
  -- pcall: what removes a record removes whatever stands in its place
  local packed = redis.pcall('HGET', base .. 'r:' .. job, '_claims')
  if type(packed) ~= 'string' then return end
  for name, value in pairs(claims_of(packed)) do fn(claim_key(job, name, value)) end
end

function fx.expire_claims(job, command, value)
  each_claim(job, function(key) redis.call(command, key, value) end)
end

function fx.keep_claims(job)
  each_claim(job, function(key) redis.call('PERSIST', key) end)
end

function fx.release_claims(job)
  each_claim(job, function(key) redis.call('DEL', key) end)
end

function fx.is_claimed(packed, field) return claims_of(packed)[field] ~= nil end

-- Write fields whose claims are `wanted` (name and value in turn), and take `gone` away: a word that says why not and what
-- about, and nothing was written; or the fields and names with what the record is to say of its claims.
--   TAKEN   { field, value, holder } packed
--   CLAIM   field                     it is unique, and its new value comes without a claim
function fx.claim(job, packed, wanted, fields, gone)
  local held, asked = claims_of(packed), {}
  local entity = string.sub(job, 1, string.find(job, ':', 1, true))
  local id = string.sub(job, #entity + 1)
  for i = 1, #wanted, 2 do
    local name, value = wanted[i], wanted[i + 1]
    asked[name] = true
    local holder = held[name] ~= value and redis.call('GET', claim_key(job, name, value))
    if holder and holder ~= id then
      local its = redis.call('HGET', base .. 'r:' .. entity .. holder, '_claims')
      if claims_of(its)[name] == value then return 'TAKEN', pack({ name, value, holder }) end
    end
  end
  for i = 1, #fields, 2 do
    if held[fields[i]] and not asked[fields[i]] then return 'CLAIM', fields[i] end
  end
  local ttl = redis.call('PTTL', base .. 'r:' .. job)
  for i = 1, #wanted, 2 do
    local name, value = wanted[i], wanted[i + 1]
    if held[name] ~= value then
      if held[name] then redis.call('DEL', claim_key(job, name, held[name])) end
      redis.call('SET', claim_key(job, name, value), id)
      if ttl > 0 then redis.call('PEXPIRE', claim_key(job, name, value), ttl) end
      held[name] = value
    end
  end
  for i = 1, #gone do
    if held[gone[i]] then
      redis.call('DEL', claim_key(job, gone[i], held[gone[i]]))
      held[gone[i]] = nil
    end
  end
  local list = {}
  for name, value in pairs(held) do list[#list + 1], list[#list + 2] = name, value end
  if #list > 0 then
    fields[#fields + 1], fields[#fields + 2] = '_claims', pack(list)
  elseif packed then
    gone[#gone + 1] = '_claims'
  end
end
