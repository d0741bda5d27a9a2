-- fire: carry out the timers that are due.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   process  id      who fires
--   limit    number  timers to fire at most
-- RETURNS { fired, ms until the next is due (-1: there is none), outbox, schedules that are due: now, and for each its
--           name, rev, slot, line, waited, overlap, rule }
-- HOLDS
--   (1) a timer leaves the set in the script that carries it out, so it fires once
--   (2) no timer fires early
--   (3) a schedule that is due is handed to whoever fires, and to another a second later if nothing came of it
-- COST  O(limit)
--- @include fx
--- @include keys
--- @include now
--- @include ended
--- @lazy apply
local HANDED_MS = 1000
local PAYLOADS = { wait = 'timeout', any = 'timeout', activity = 'due' }
local due = redis.call('ZRANGEBYSCORE', base .. 'timers', '-inf', now, 'LIMIT', 0, limit)
local handed = { now }
for _, member in ipairs(due) do
  redis.call('ZREM', base .. 'timers', member)
  local what, rest = string.sub(member, 1, 1), string.sub(member, 3)
  if what == 'd' or what == 'e' then
    local pos, target = string.match(rest, '^(%S+) (.*)$')
    local dim, job = split_run(target)
    local wait = redis.call('HGET', header_key(dim, job), 'w:' .. pos)
    if wait then
      fx.deliver(target, pos, what == 'e' and 'timeout' or PAYLOADS[string.match(wait, '^%S+')] or 'ok', 'null')
    end
  elseif what == 'g' then
    fx.open_gate(rest)
  elseif what == 's' then
    local s = redis.call('HMGET', base .. 's:' .. rest, 'rev', 'slot', 'line', 'waited', 'overlap', 'rule')
    if s[1] then
      redis.call('ZADD', base .. 'timers', string.format('%.0f', now_n + HANDED_MS), member)
      handed[#handed + 1] = { rest, s[1], s[2], s[3] or '0', s[4] or '', s[5], s[6] }
    end
  else
    local dim, job = split_run(rest)
    local h = redis.call('HMGET', header_key(dim, job), 'status', 'due')
    if what == 'x' then
      fx.time_out(job)
    elseif what == 'p' then
      if h[1] == 'pending' then fx.flush(job) end
    elseif h[1] == 'backoff' then
      fx.requeue(dim, job)
    elseif h[1] == 'delayed' then
      fx.begin_job(job, h[2])
    end
  end
end
local head = redis.call('ZRANGE', base .. 'timers', 0, 0, 'WITHSCORES')
local left = -1
if head[2] then left = math.max(0, math.ceil(tonumber(head[2]) - now_n)) end
if #due > 0 then redis.call('PUBLISH', base .. 'timer-hint', left .. ' ' .. process) end
return { #due, left, fx.outbox, handed }
