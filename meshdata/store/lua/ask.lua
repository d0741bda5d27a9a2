-- ask: the answer an entry keeps; else the function is called, once for all who ask meanwhile.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   entry    text    "<topic>:<id>"
--   topic    text    where the function is served
--   call     text    the id of the call, if it comes to one; one sent again has the same
--   body     bytes   the arguments
--   waiter   id      the process that awaits the answer
--   wait     ms      how long it does; '' for as long as it takes
--   anew     word    '' takes what is kept, failed does unless that is a failure, all does not
--   ttl      ms      how long the answer is fresh; 'inf', or '' to keep none
--   stale    ms      how much longer it is given while a run brings a newer one; '' for no longer
--   failure  ms      how long a failure is kept; 'inf', 0 for not at all
--   ...      tags: the groups the answer belongs to
-- RETURNS { word, code, payload, what }
--   DONE     code answer left  left: ms for which it is fresh, -1 for ever, 0 if it is stale
--   PENDING  '' '' call        the call that brings it
--   LIMITED  '' '' ''          nothing is kept, and the topic has limits, which are of jobs: nothing was queued
-- HOLDS
--   (1) one run is under way for an entry at a time; it counts as such as long as its message is in the stream
--   (2) an answer is kept only if neither the entry nor a group of it was flushed since its run began
-- COST  O(tags)
--- @include calls
--- @include first_fence
local key = entry_key(entry)
local h = redis.call('HMGET', key, 'c', 'v', 'f', 's', 'g', 'x', 'm', 'l', 't')
local code, value, fresh, till, mine = h[1], h[2], h[3], h[4], h[8] == call
local kept_tags = h[5] and unpack_list(h[5]) or {}
local is_there = code and (fresh == 'inf' or now_n < tonumber(till or fresh)) and tags_hold(kept_tags)
local is_wanted = is_there and (mine or anew == '' or (anew == 'failed' and code == 'ok'))
if is_wanted and fresh == 'inf' then return { 'DONE', code, value, -1 } end
local left = is_wanted and tonumber(fresh) - now_n or 0
if is_wanted and (left > 0 or mine) then return { 'DONE', code, value, math.max(left, 0) } end
local is_begun = h[6] and (anew ~= 'all' or h[6] == call) and is_under_way(topic, h[7]) and tags_hold(h[9] and unpack_list(h[9]) or {})
if is_begun and is_wanted then return { 'DONE', code, value, 0 } end
local patience = wait == '' and '' or string.format('%.0f', now_n + tonumber(wait))
if is_begun then
  local w = redis.call('HMGET', key, 'w:' .. h[6], 'd')
  if not string.find(' ' .. (w[1] or '') .. ' ', ' ' .. waiter .. ' ', 1, true) then
    redis.call('HSET', key, 'w:' .. h[6], w[1] and w[1] .. ' ' .. waiter or waiter)
  end
  if w[2] ~= '' and (patience == '' or tonumber(w[2] or 0) < tonumber(patience)) then redis.call('HSET', key, 'd', patience) end
  return { 'PENDING', '', '', h[6] }
end
if (redis.call('HGET', base .. 'limits', topic) or 'line') ~= 'line' then return { 'LIMITED', '', '', '' } end
local who, until_ms = waiter, patience
if is_wanted then
  who, until_ms = '', till -- a newer answer is of use as long as the old one
elseif code or h[6] then
  empty(key, entry, kept_tags)
end
local asked = { ttl, stale, failure }
for i = 13, #ARGV do
  local tag = tag_key(ARGV[i])
  local number = redis.call('ZSCORE', tag, '')
  if not number then
    redis.call('ZADD', tag, first_fence(), '')
    number = redis.call('ZSCORE', tag, '')
  end
  local keeps = ttl == 'inf' and UNDER_WAY_MS or (tonumber(ttl) or 0) + (tonumber(stale) or 0) + UNDER_WAY_MS
  local known = redis.call('PTTL', tag)
  if redis.call('ZCARD', tag) == 1 or (known >= 0 and known < keeps) then
    redis.call('PEXPIRE', tag, string.format('%.0f', keeps))
  end
  asked[#asked + 1], asked[#asked + 2] = ARGV[i], number
end
local message = redis.call('XADD', base .. 'q:' .. topic, '*', 'x', call, 'd', until_ms, 'b', body, 'e', entry, 'o', pack(asked))
redis.call('HSET', key, 'x', call, 'm', message, 'd', until_ms)
if #asked > 3 then redis.call('HSET', key, 't', pack({ unpack(asked, 4) })) else redis.call('HDEL', key, 't') end
if who ~= '' then redis.call('HSET', key, 'w:' .. call, who) end
local known = redis.call('PTTL', key)
if known < UNDER_WAY_MS then redis.call('PEXPIRE', key, UNDER_WAY_MS) end
if is_wanted then return { 'DONE', code, value, 0 } end
return { 'PENDING', '', '', call }
