-- app_deploy: keep a model as a version of an app. Nothing is carried out of it before it is activated.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   app      text    the app's id
--   version  text    the version's label
--   digest   text    of the model
--   model    bytes   JSON
-- RETURNS { word }
--   NEW      it is kept; what was deployed under the label before, and not activated, is forgotten
--   SAME     it was kept before
-- HOLDS
--   (1) what is carried out does not change
-- COST  O(versions)
--- @include now
--- @include apps
local key = base .. 'app:' .. app
local old = fx.app_digest(key, 'd:' .. version)
if old == digest then return { 'SAME' } end
redis.call('HSET', key, 'd:' .. version, digest .. ' ' .. now)
redis.call('HSETNX', key, 'm:' .. digest, model)
redis.call('HINCRBY', key, 'rev', 1)
if old then fx.app_forget(key, old) end
return { 'NEW' }
