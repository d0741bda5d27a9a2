-- change_many: write fields of many records, each by itself: one that is refused does not keep the others from being written.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   create   word    0: a record must be there; new: it must not; 1: either
--   ttl      ms      each goes after so long, '' leaves that as it is
--   ...      per record: its job, how many arguments follow, the arguments of `set`, see lib/record.lua
-- RETURNS { word, text, ... }, one pair per record
--   CREATED, UPDATED  ''
--   NOTFOUND, EXISTS  ''
--   TAKEN, CLAIM      see lib/record.lua
--   ERROR             what Redis said
-- HOLDS
--   (1) there is one pair per record, whatever became of the others
-- COST  O(records * fields)
--- @include record
--- @lazy claims
--- @lazy changed
local function write(job, arguments)
  local found = redis.call('EXISTS', fx.record_key(job)) == 1
  if not found and create == '0' then return 'NOTFOUND', '' end
  if found and create == 'new' then return 'EXISTS', '' end
  local word, text = fx.change_record(job, 'set', arguments, nil)
  if word ~= 'OK' then return word, text end
  if ttl ~= '' then fx.expire_record(job, ttl) end
  return found and 'UPDATED' or 'CREATED', ''
end

local at, replies = 5, {}
while at <= #ARGV do
  local arguments = {}
  for i = 1, tonumber(ARGV[at + 1]) do arguments[i] = ARGV[at + 1 + i] end
  local fine, word, text = pcall(write, ARGV[at], arguments)
  if not fine then word, text = 'ERROR', type(word) == 'table' and word.err or tostring(word) end
  replies[#replies + 1], replies[#replies + 2] = word, text
  at = at + 2 + #arguments
end
return replies
