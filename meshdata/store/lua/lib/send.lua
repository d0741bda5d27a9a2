-- send: carry out an effect in its target's partition: at once when that is here, else as a message in the outbox, which
-- any process relays to apply.lua over there. A message is { verb, argument, ... }, all strings. Messages between two
-- partitions are numbered and applied in order, so that a relay may repeat itself.
--- @include fx
--- @include pack
function fx.send(partition, message)
  if partition == here then return fx.apply(message) end
  local number = redis.call('HINCRBY', base .. 'outseq', partition, 1)
  table.insert(message, 1, number)
  redis.call('RPUSH', base .. 'out:' .. partition, pack(message))
  fx.outbox = 1
end

-- The answer to whoever asked for an effect: "<partition> <position> <run>", or '' when nobody did.
function fx.answer(asker, code, payload)
  if asker == '' then return end
  local partition, pos, run = string.match(asker, '^(%d+) (%S+) (.*)$')
  fx.send(partition, { 'deliver', run, pos, code, payload, '', '' })
end
