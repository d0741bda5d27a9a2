-- signals: a key's list holds either waiters ("w <partition> <position> <run>") or payloads nobody has taken yet
-- ("p <payload>"), never both. First come, first served on either side: one payload wakes one waiter.
--- @include fx
--- @include keys
local KEEP_MS = 604800000
local KEEP_COUNT = 10000

-- Returns 'TAKEN', 'KEPT', or 'FULL' when too many payloads wait already.
function fx.signal(key, payload)
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
    if fx.deliver(run, pos, 'ok', payload) then return 'TAKEN' end
  end
  if redis.call('LLEN', line) >= KEEP_COUNT then return 'FULL' end
  redis.call('RPUSH', line, 'p ' .. payload)
  redis.call('PEXPIRE', line, KEEP_MS)
  return 'KEPT'
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
    elseif not fx.deliver(run, pos, 'ok', payload) then
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
