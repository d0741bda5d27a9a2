-- relayed: take messages that their target has applied out of the outbox.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   target   number  the partition they went to
--   last     number  the last message applied there
-- RETURNS { messages left }
-- COST  O(messages removed)
--- @include pack
local outbox_key = base .. 'out:' .. target
while true do
  local head = redis.call('LINDEX', outbox_key, 0)
  if not head or tonumber(unpack_list(head)[1]) > tonumber(last) then break end
  redis.call('LPOP', outbox_key)
end
return { redis.call('LLEN', outbox_key) }
