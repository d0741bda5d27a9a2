-- withdraw: who awaited a call does so no longer: unless others do, or somebody works on it, nobody is to begin it any more.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   topic    text    where the function is served
--   call     text    the call
--   message  id      its message; of one with an entry that knows which
--   entry    text    the entry that is to keep its answer, '' for none
--   waiter   id      who gives up
--   stay     flag    1: it is to be done all the same
-- RETURNS { word }
--   NOBODY   no living process serves the topic
--   WAITING  some do, and none has begun it
--   RUNNING  it is being worked on
--   GONE     it is answered, or was taken back
-- HOLDS
--   (1) what was taken back is begun by nobody
-- COST  O(processes that serve the topic)
--- @include calls
--- @include real_now
--- @include retire
local stream, key, others = base .. 'q:' .. topic, '', ''
if entry ~= '' then
  key = entry_key(entry)
  local h = redis.call('HMGET', key, 'x', 'm', 'w:' .. call)
  if h[1] ~= call then return { 'GONE' } end
  message = h[2]
  for process in string.gmatch(h[3] or '', '%S+') do
    if process ~= waiter then others = others == '' and process or others .. ' ' .. process end
  end
  if others ~= '' then redis.call('HSET', key, 'w:' .. call, others) else redis.call('HDEL', key, 'w:' .. call) end
end
if not message or message == '' or #redis.call('XRANGE', stream, message, message) == 0 then return { 'GONE' } end
local pending = redis.pcall('XPENDING', stream, 'g', message, message, 1)
if not pending.err and #pending > 0 then return { 'RUNNING' } end
local consumers, is_served = redis.pcall('XINFO', 'CONSUMERS', stream, 'g'), false
for _, consumer in ipairs(consumers.err and {} or consumers) do
  for i = 1, #consumer, 2 do
    local sign = consumer[i] == 'name' and redis.call('ZSCORE', base .. 'procs', consumer[i + 1])
    if sign and tonumber(sign) >= real_now() then is_served = true end
  end
end
if others == '' and stay ~= '1' then
  unqueue_call(stream, message)
  if key ~= '' then redis.call('HDEL', key, 'x', 'm', 'd') end
  retire(topic)
elseif stay == '1' and key ~= '' then
  redis.call('HSET', key, 'd', '')
end
return { is_served and 'WAITING' or 'NOBODY' }
