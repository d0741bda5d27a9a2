-- app_sign: an engine of an app says that it lives, and learns what is active.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   app      text    the app's id
--   process  id      the engine
--   ttl      ms      how long its sign holds
-- RETURNS { rev, version, digest }
--   the number of changes; the active version and its model, '' and '' while none is
-- COST  O(log engines)
--- @include real_now
--- @include apps
local at, engines, key = real_now(), base .. 'engines:' .. app, base .. 'app:' .. app
redis.call('ZREMRANGEBYSCORE', engines, '-inf', at)
redis.call('ZADD', engines, at + tonumber(ttl), process)
redis.call('PEXPIRE', engines, ttl) -- every sign is given for as long, so the last one's end is the key's
local h = redis.call('HMGET', key, 'rev', 'active')
return { tonumber(h[1] or 0), h[2] or '', h[2] and fx.app_digest(key, 'a:' .. h[2]) or '' }
