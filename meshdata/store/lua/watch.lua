-- watch: say that somebody watches the records of an entity, or goes on doing so; changes are written meanwhile.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      not used: how long somebody watches is real time
--   here     number  this partition
--   entity   name    whose records
--   ttl_ms   ms      how long changes are kept from now on
-- RETURNS { epoch, number of the last change }
--   epoch: another one whenever nobody watched for a time, and changes went by unseen
-- HOLDS
--   (1) within an epoch every change of a record has an entry
-- COST  O(1)
local watched, stream = base .. 'watch:' .. entity, base .. 'ch:' .. entity
local epoch = redis.call('HGET', watched, 'epoch')
if not epoch then
  local t = redis.call('TIME')
  epoch = string.format('%.0f', t[1] * 1000000 + t[2])
  redis.call('DEL', stream)
  redis.call('HSET', watched, 'epoch', epoch, 'n', '0')
end
if redis.call('PTTL', watched) < tonumber(ttl_ms) then
  redis.call('PEXPIRE', watched, ttl_ms)
  redis.call('PEXPIRE', stream, ttl_ms)
end
return { epoch, tonumber(redis.call('HGET', watched, 'n')) }
