-- kept: the stored end of a job, and how long it stays.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   run      text    "<dim> <job>"
-- RETURNS { word, code, payload, left }
--   DONE      code result left  left: ms for which it is kept, -1 for ever
--   NOTFOUND  '' '' 0           it is not there, or not over
-- COST  O(1)
--- @include ended
--- @include fx
--- @include keys
--- @include stored
local header = header_key(split_run(run))
local h = redis.call('HMGET', header, 'status', 'code', 'result')
if not ended(h[1]) then return { 'NOTFOUND', '', '', 0 } end
return { 'DONE', h[2], stored(h[3], split_run(run)), redis.call('PTTL', header) }
