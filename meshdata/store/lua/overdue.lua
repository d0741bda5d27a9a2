-- overdue: a worker holds a call that may have waited longer than anybody waits for it: it is dropped if so.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   stream   key     the stream the message came by
--   message  id      the message
--   call     text    the call
--   entry    text    the entry that is to keep its answer, '' for none
--   till     ms      when nobody awaits it any more, as its message has it; an entry may know better
-- RETURNS { word }
--   DROPPED, RUN
-- COST  O(1)
--- @include calls
if entry ~= '' then
  local h = redis.call('HMGET', entry_key(entry), 'x', 'd')
  if h[1] == call then till = h[2] or '' end
end
if till == '' or now_n <= tonumber(till) then return { 'RUN' } end
unqueue_call(stream, message)
if entry ~= '' and redis.call('HGET', entry_key(entry), 'x') == call then
  redis.call('HDEL', entry_key(entry), 'x', 'm', 'd', 'w:' .. call)
end
return { 'DROPPED' }
