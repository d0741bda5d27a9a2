-- relay: apply messages another partition has for this one.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   source   number  the partition they come from
--   ...      messages, in order, each packed with its number first
-- RETURNS { number of the last message applied, outbox }
-- HOLDS
--   (1) messages of a source are applied in the order of their numbers, each once, whoever relays them how often
-- COST  O(messages)
--- @include fx
--- @include keys
--- @include now
--- @include ended
--- @include pack
--- @lazy apply
local last = tonumber(redis.call('HGET', base .. 'inseq', source)) or 0
for i = 4, #ARGV do
  local m = unpack_list(ARGV[i])
  local number = tonumber(table.remove(m, 1))
  if number == last + 1 then
    fx.apply(m)
    last = number
  end
end
redis.call('HSET', base .. 'inseq', source, last)
return { last, fx.outbox }
