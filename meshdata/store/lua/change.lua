-- change: change a record from outside.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   job      text    "<entity>:<id>"
--   create   word    0: the record must be there; new: it must not; 1: either
--   rev      number  the revision it must have, '' any
--   ttl      ms      it goes after so long, '' leaves that as it is
--   op       word    set, delete, incr, mult, append, remove or drop
--   ...      its arguments, see lib/record.lua
-- RETURNS { word, text, revision }
--   OK         result, and the revision it has now ('' if nothing was changed)
--   NOTFOUND   ''          create is 0 and it is not there
--   EXISTS     ''          create is new and it is there
--   CONFLICT   revision    it has another one
--   JOB        ''          drop: the record is a job's, which flush_job takes away
--   NOTNUMBER, TAKEN, CLAIM  see lib/record.lua
-- HOLDS
--   (1) unless the word is OK nothing was written
-- COST  O(fields)
--- @include record
--- @lazy claims
--- @lazy elements
--- @lazy changed
if create ~= '1' or rev ~= '' then
  local found = redis.call('HGET', fx.record_key(job), '_rev')
  if not found and create == '0' then return { 'NOTFOUND', '', '' } end
  if found and create == 'new' then return { 'EXISTS', '', '' } end
  if rev ~= '' and (found or '0') ~= rev then return { 'CONFLICT', found or '0', '' } end
end
if op == 'drop' and redis.call('EXISTS', base .. 'j:' .. job) == 1 then return { 'JOB', '', '' } end
local arguments = {}
for i = 8, #ARGV do arguments[i - 7] = ARGV[i] end
local word, text = fx.change_record(job, op, arguments, nil)
if word == 'OK' and ttl ~= '' then fx.expire_record(job, ttl) end
return { word, text, fx.rev or '' }
