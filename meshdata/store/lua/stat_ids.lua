-- stat_ids: the ids of jobs that an index lists in this partition, a piece at a time.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   app      text    the app's id
--   bucket   text    the bucket of time
--   key      text    what the jobs are counted under
--   facet    text    "<path>:<value>"
--   from     number  the number of the first id to look at; 0 for the first there is
--   limit    number  ids to look at
--   living   flag    1: leave out jobs that are over, or gone
-- RETURNS { number behind the last id looked at, ids }
-- COST  O(limit)
--- @include statistics
local next, ids = fx.index_ids(app, bucket, key, facet, tonumber(from), tonumber(limit), living == '1')
return { next, ids }
