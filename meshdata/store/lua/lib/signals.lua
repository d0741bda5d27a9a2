-- signals: a key's list holds either waiters ("w <partition> <position> <run>") or payloads nobody has taken yet
-- ("p <payload>"), never both. First come, first served on either side: one payload wakes one waiter.
--- @include fx
--- @include keys
local KEEP_MS = 604800000
local KEEP_COUNT = 10000

local function give(key, payload)
  local line = base .. 'sig:' .. key
  while true do
    local head = redis.call('LINDEX', line, 0)
    if not head or string.sub(head, 1, 1) == 'p' then break end
    redis.call('LPOP', line)
    local partition, pos, run = string.match(head, '^w (%d+) (%S+) (.*)$')
    if partition ~= here then
      fx.send(partition, { 'deliver', run, pos, 'ok', payload, here, key })
      return 'TAKEN'
    end
    if fx.deliver(run, pos, 'ok', payload, key) then return 'TAKEN' end
  end
  if redis.call('LLEN', line) >= KEEP_COUNT then return 'FULL' end
  redis.call('RPUSH', line, 'p ' .. payload)
  redis.call('PEXPIRE', line, KEEP_MS)
  return 'KEPT'
end

-- Returns 'TAKEN', 'KEPT', or 'FULL' when too many payloads wait already. One sent again under an id that the key had
-- before is no further signal: it is answered as the first was.
function fx.signal(key, payload, id)
  if not id or id == '' then return give(key, payload) end
  local seen = base .. 'sid:' .. #key .. ':' .. key .. ':' .. id
  local word = redis.call('GET', seen)
  if word then return word end
  word = give(key, payload)
  if word ~= 'FULL' then redis.call('SET', seen, word, 'PX', KEEP_MS) end
  return word
end

function fx.wait(key, asker)
  local line = base .. 'sig:' .. key
  local head = redis.call('LINDEX', line, 0)
  if head and string.sub(head, 1, 1) == 'p' then
    redis.call('LPOP', line)
    local partition, pos, run = string.match(asker, '^(%d+) (%S+) (.*)$')
    local payload = string.sub(head, 3)
    if partition ~= here then
      fx.send(partition, { 'deliver', run, pos, 'ok', payload, here, key })
    elseif not fx.deliver(run, pos, 'ok', payload, key) then
      fx.unread(key, payload)
    end
  else
    redis.call('RPUSH', line, 'w ' .. asker)
  end
end

-- A payload that came too late for the waiter it was sent to goes to the next one, or back to the head of the line.
function fx.unread(key, payload)
  local line = base .. 'sig:' .. key
  local head = redis.call('LINDEX', line, 0)
  if head and string.sub(head, 1, 1) == 'w' then
    fx.signal(key, payload)
  else
    redis.call('LPUSH', line, 'p ' .. payload)
    redis.call('PEXPIRE', line, KEEP_MS)
  end
end

function fx.unwait(key, asker)
  redis.call('LREM', base .. 'sig:' .. key, 1, 'w ' .. asker)
end
