-- beat: a process says that it lives, takes the leases its first steps are late for, and learns what there is to do.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   process  id      who lives
--   ttl      ms      how long its life sign holds
--   ...      late leases: run, fence, stream, message in turn
-- RETURNS { word, dead processes, runs with news, partitions with messages to relay, lost leases }
--   ALIVE    it was known
--   LOST     its sign had lapsed and others have taken its runs
-- COST  O(late leases + dead + news)
--- @include fx
--- @include keys
--- @include ended
--- @lazy apply
--- @include real_now
local at = real_now()
local before = redis.call('ZSCORE', base .. 'procs', process)
redis.call('ZADD', base .. 'procs', at + tonumber(ttl), process)
local lost = {}
for i = 5, #ARGV, 4 do
  local dim, job = split_run(ARGV[i])
  local header = header_key(dim, job)
  local h = redis.call('HMGET', header, 'fence', 'owner', 'status', 'gate')
  if h[4] and h[1] == ARGV[i + 1] then fx.begun(header, ARGV[i], h[4], ARGV[i + 2], ARGV[i + 3]) end
  redis.call('XACK', ARGV[i + 2], 'g', ARGV[i + 3])
  redis.call('XDEL', ARGV[i + 2], ARGV[i + 3])
  if h[1] == ARGV[i + 1] and (h[2] == '' or h[2] == process) and not ended(h[3]) then
    redis.call('HSET', header, 'owner', process, 'status', 'running')
    redis.call('SADD', base .. 'own:' .. process, ARGV[i])
  else
    lost[#lost + 1] = ARGV[i]
  end
end
-- A process that comes late itself judges nobody this time: Redis was away, and the others come late as well.
local dead = {}
if before and tonumber(before) >= at then
  dead = redis.call('ZRANGEBYSCORE', base .. 'procs', '-inf', '(' .. string.format('%.0f', at), 'LIMIT', 0, 10)
end
local relay = {}
for _, partition in ipairs(redis.call('HKEYS', base .. 'outseq')) do
  if redis.call('EXISTS', base .. 'out:' .. partition) == 1 then relay[#relay + 1] = partition end
end
return { before and 'ALIVE' or 'LOST', dead, redis.call('SRANDMEMBER', base .. 'wake:' .. process, 500), relay, lost }
