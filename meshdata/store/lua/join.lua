-- join: a process begins to serve topics: its groups are there, its life sign is set, and runs that were parked for
-- want of fitting code get another chance.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   process  id      who joins
--   ttl      ms      how long its life sign holds
--   ...      topics
-- RETURNS { runs taken out of parking }
-- COST  O(topics + parked runs)
--- @include fx
--- @include keys
--- @include now
--- @include ended
--- @lazy apply
--- @include real_now
local unparked = 0
for i = 5, #ARGV do
  local topic = ARGV[i]
  redis.call('SADD', base .. 'topics', topic)
  for _, kind in ipairs({ 'q:', 'c:' }) do redis.pcall('XGROUP', 'CREATE', base .. kind .. topic, 'g', '0', 'MKSTREAM') end
  repeat
    local parked = redis.call('SPOP', base .. 'parked:' .. topic, 1000)
    for _, run in ipairs(parked) do
      local dim, job = split_run(run)
      if redis.call('HGET', header_key(dim, job), 'status') == 'parked' then
        redis.call('HDEL', header_key(dim, job), 'parked')
        fx.requeue(dim, job)
        unparked = unparked + 1
      end
    end
  until #parked == 0
end
redis.call('ZADD', base .. 'procs', real_now() + tonumber(ttl), process)
return { unparked }
