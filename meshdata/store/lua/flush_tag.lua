-- flush_tag: the answers of a group are forgotten, all in one moment; what they took up is given back a page at a time.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   tag      text    the group
--   first    number  0 forgets; else goes on giving back, past so many entries that were answered since
--   limit    number  entries to give back at most
-- RETURNS { entries given back, first of the next page, or -1 if there is none }
-- HOLDS
--   (1) from the first page on no answer is given, or kept, whose run began before it
-- COST  O(limit)
--- @include calls
local key = tag_key(tag)
if first == '0' then redis.call('ZREM', key, '') end
local at, removed = tonumber(first), 0
local members = redis.call('ZRANGE', key, at, at + tonumber(limit) - 1)
for _, entry in ipairs(members) do
  local tags = entry ~= '' and redis.call('HGET', entry_key(entry), 'g')
  if entry == '' or (tags and tags_hold(unpack_list(tags))) then
    at = at + 1
  else
    if tags then
      redis.call('HDEL', entry_key(entry), 'c', 'v', 'f', 's', 'g', 'l')
      removed = removed + 1
    end
    redis.call('ZREM', key, entry)
  end
end
return { removed, #members < tonumber(limit) and -1 or at }
