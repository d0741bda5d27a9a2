-- call: have a function called once, without a job: its message is queued.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   topic    text    where the function is served
--   call     text    the call's id
--   body     bytes   the arguments
--   waiter   id      the process that awaits the answer, '' for none
--   wait     ms      how long it does: nobody begins the call later; '' for as long as it takes
--   again    flag    1: it was sent before, and is not queued again if that took effect
-- RETURNS { word, code, payload, message }
--   CREATED  '' '' id        queued
--   PENDING  '' '' id        it was queued before
--   DONE     code result ''  it was answered before
--   LIMITED  '' '' ''        the topic has limits, which are of jobs: nothing was queued
-- HOLDS
--   (1) sent again, it is queued once: it is in its stream until it is answered, and its answer is kept a moment
-- COST  O(1); sent again, O(messages of the topic, 10,000 at most)
--- @include fx
--- @include now
local MOST_LOOKED_AT, PAGE = 10000, 1000
local stream = base .. 'q:' .. topic
if again == '1' then
  local answer = redis.call('GET', base .. 'a:x ' .. here .. ' ' .. call)
  if answer then
    local code, payload = string.match(answer, '^(%l+)\n(.*)$')
    return { 'DONE', code, payload, '' }
  end
  local before = '+'
  for _ = 1, MOST_LOOKED_AT / PAGE do
    local page = redis.call('XREVRANGE', stream, before, '-', 'COUNT', PAGE)
    for _, message in ipairs(page) do
      for i = 1, #message[2], 2 do
        if message[2][i] == 'x' and message[2][i + 1] == call then return { 'PENDING', '', '', message[1] } end
      end
    end
    if #page < PAGE or page[#page][1] == before then break end
    before = page[#page][1]
  end
end
if (redis.call('HGET', base .. 'limits', topic) or 'line') ~= 'line' then return { 'LIMITED', '', '', '' } end
local till = wait == '' and '' or string.format('%.0f', now_n + tonumber(wait))
return { 'CREATED', '', '', redis.call('XADD', stream, '*', 'x', call, 'w', waiter, 'd', till, 'b', body) }
