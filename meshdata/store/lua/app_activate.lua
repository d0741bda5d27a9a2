-- app_activate: have a version of an app carried out from now on.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   app      text    the app's id
--   version  text    the version's label
--   digest   text    of the model that the engines have made ready
-- RETURNS { word }
--   OK        it is active
--   CHANGED   another model was deployed under the label meanwhile: nothing was written
--   NOTFOUND  it was never deployed
-- HOLDS
--   (1) what is active was deployed, and is the model that was made ready
-- COST  O(versions)
--- @include now
--- @include apps
local key = base .. 'app:' .. app
local deployed = fx.app_digest(key, 'd:' .. version)
if not deployed then return { 'NOTFOUND' } end
if deployed ~= digest then return { 'CHANGED' } end
local old = fx.app_digest(key, 'a:' .. version)
if old == digest and redis.call('HGET', key, 'active') == version then return { 'OK' } end
redis.call('HSET', key, 'a:' .. version, digest .. ' ' .. now, 'active', version)
redis.call('HINCRBY', key, 'rev', 1)
if old and old ~= digest then fx.app_forget(key, old) end
return { 'OK' }
