-- change: change a record from outside.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   job      text    "<entity>:<id>"
--   create   flag    0: the record must be there
--   rev      number  the revision it must have, '' any
--   op       word    set, delete, incr or mult
--   ...      its arguments, see lib/record.lua
-- RETURNS { word, text }
--   OK         result
--   NOTFOUND   ''          create is 0 and it is not there
--   CONFLICT   revision    it has another one
--   NOTNUMBER  field
-- COST  O(fields)
--- @include record
--- @lazy changed
if create == '0' or rev ~= '' then
  local found = redis.call('HGET', fx.record_key(job), '_rev')
  if not found and create == '0' then return { 'NOTFOUND', '' } end
  if rev ~= '' and (found or '0') ~= rev then return { 'CONFLICT', found or '0' } end
end
local arguments = {}
for i = 7, #ARGV do arguments[i - 6] = ARGV[i] end
return { fx.change_record(job, op, arguments, nil) }
