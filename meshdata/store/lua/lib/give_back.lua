-- give_back: the signal an outcome was, back to its key: of a wait on several, to the one it was for (see with_key in
-- lib/deliver.lua). Keys are parted by the unit separator, their partitions by commas.
--- @include fx
function fx.give_back(kind, keys, partitions, payload)
  local number = 0
  if kind == 'any' then number, payload = string.match(payload, '^%[(%d+),(.*)%]$') end
  local next_key, next_partition = string.gmatch(keys, '[^\31]+'), string.gmatch(partitions, '%d+')
  for _ = 1, tonumber(number) do next_key(); next_partition() end
  fx.send(next_partition(), { 'unread', next_key(), payload })
end
