-- reply: a worker brings the outcome of an activity it ran for a run elsewhere.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   run      text    the run that asked
--   pos      text    the call's position
--   code     word    ok, err, or try: it failed and is to be tried again
--   payload  bytes   result or error
--   delay    ms      for try: the pause before the next attempt
--   stream   key     the stream the message came by
--   message  id      the message
-- RETURNS { word, outbox }
--   OK      delivered
--   STALE   nobody waits for it any more
-- COST  O(1)
--- @include fx
--- @include keys
--- @include now
--- @include append
--- @lazy apply
redis.call('XACK', stream, 'g', message)
redis.call('XDEL', stream, message)
if code ~= 'try' then return { fx.deliver(run, pos, code, payload) and 'OK' or 'STALE', fx.outbox } end
-- The wait stands on, now for its timer; an attempt that was run twice and failed twice counts once.
local dim, job = split_run(run)
local header = header_key(dim, job)
local limit, since, name = string.match(redis.call('HGET', header, 'w:' .. pos) or '', '^activity %d+ ([02])/?(%d*) (.*)$')
if not name then return { 'STALE', 0 } end
redis.call('HSET', header, 'w:' .. pos, 'activity ' .. here .. (limit == '2' and ' 3/' or ' 1/') .. now .. ' ' .. name)
fx.set_timer('d ' .. pos .. ' ' .. run, now_up + tonumber(delay))
local length, entry = append(dim, job, pos, 'activity', 'try', name, payload, fx.took(since))
fx.notify(dim, job, length - 1, entry)
return { 'OK', fx.outbox }
