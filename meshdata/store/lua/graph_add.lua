-- graph_add: a further reply for an activity of a graph job that is still open, from whoever knows its place.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   run      text    "0 <job>"
--   pos      text    the activity's instance
--   gid      text    the job's generation; '' for whatever it is
--   guid     text    what tells this reply from others: one sent again is no further reply
--   payload  bytes   the reply
-- RETURNS { word, outbox }
--   OK      delivered
--   AGAIN   it was before
--   STALE   nobody waits for it, or no more
-- COST  O(1)
--- @include fx
--- @include keys
--- @include now
--- @include append
--- @lazy apply
local KEEP_MS = 604800000
local dim, job = split_run(run)
local known = redis.call('HMGET', header_key(dim, job), 'w:' .. pos, 'created')
if not known[1] then return { 'STALE', 0 } end
-- Of this job, and not of one that was there before under its name.
local head = gid ~= '' and redis.call('HGET', base .. 'g:' .. job, '#')
if head and string.sub(head, 1, #gid + 9) ~= '{"gid":"' .. gid .. '"' then return { 'STALE', 0 } end
local seen = base .. 'sid:' .. #job .. ':' .. job .. ':' .. known[2] .. ':' .. guid
if not redis.call('SET', seen, '1', 'NX', 'PX', KEEP_MS) then return { 'AGAIN', 0 } end
return { fx.deliver(run, pos, 'ok', payload) and 'OK' or 'STALE', fx.outbox }
