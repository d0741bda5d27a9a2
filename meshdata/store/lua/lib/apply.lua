-- apply: carry out one message in the partition it is addressed to. The verbs are the effects a step may have on
-- something that is not its own run.
--- @include fx
--- @include keys
--- @include send
--- @include requeue
--- @include timers
--- @include record
--- @include changed
--- @include claims
--- @include elements
--- @include waiters
--- @include deliver
--- @include signals
--- @include give_back
--- @include finish
--- @include children
--- @include large
--- @include start_job
--- @include begin_job
--- @include start_hook
--- @include line
--- @include gate
--- @include schedules
--- @include interrupt
--- @include cancel
--- @include flush
--- @include graph
--- @include statistics
function fx.apply(m)
  local verb = m[1]
  if verb == 'deliver' then
    -- run, position, code, payload, and for a signal its partition and key: a payload nobody waits for any more returns.
    if not fx.deliver(m[2], m[3], m[4], m[5], m[7]) and m[7] ~= '' then fx.send(m[6], { 'unread', m[7], m[5] }) end
  elseif verb == 'wait' then
    fx.wait(m[2], m[3])
  elseif verb == 'unwait' then
    fx.unwait(m[2], m[3])
  elseif verb == 'unread' then
    fx.unread(m[2], m[3])
  elseif verb == 'signal' then
    local word = fx.signal(m[2], m[3], m[5])
    fx.answer(m[4], word == 'FULL' and 'full' or 'ok', word == 'TAKEN' and 'true' or 'false')
  elseif verb == 'start' then
    table.remove(m, 1)
    fx.start_job(m)
  elseif verb == 'slotend' then
    -- schedule, when it was made, code, problem
    fx.slot_ended(m[2], m[3], m[4], m[5])
  elseif verb == 'enter' or verb == 'begun' or verb == 'exit' then
    fx.at_gate(verb, m[2], m[3], m[4])
  elseif verb == 'grant' then
    fx.grant(m[2], m[3])
  elseif verb == 'hook' then
    fx.start_hook(m[2], m[3], m[4], m[5], m[6], m[7])
  elseif verb == 'interrupt' then
    fx.interrupt(m[2], m[3], m[4], m[5], m[6], m[7], m[8])
  elseif verb == 'cancel' then
    fx.cancel(m[2], m[3], m[4], m[5])
  elseif verb == 'unindex' then
    fx.unindex(m[2], m[3], m[4], m[5], m[6])
  elseif verb == 'flush' then
    fx.flush(m[2])
  elseif verb == 'disown' then
    -- child, its parent's job, and what is to be done with it: unless the name is another job's by now. The parent is
    -- over, so nobody is told of the child's end: a job begun anew under its name may await a child of the same name.
    local header = header_key('0', m[2])
    local h = redis.call('HMGET', header, 'parent', 'orphan')
    if h[2] == m[3] or (h[1] and string.match(h[1], '^%d+ %S+ %d+ (.*)$') == m[3]) then
      redis.call('HDEL', header, 'parent')
      redis.call('HSET', header, 'orphan', m[3])
      if m[4] then fx.apply({ unpack(m, 4) }) end
    end
  elseif verb == 'childend' then
    local dim, job = split_run(m[2])
    for _, header in ipairs(dim == '0' and { header_key('0', job) } or { header_key(dim, job), header_key('0', job) }) do
      local link = redis.call('HGET', header, 'c:' .. m[6])
      if link then
        redis.call('HDEL', header, 'c:' .. m[6])
        local is_kept = (m[7] or '') ~= '' and not string.find(link, ' abandon$')
        if is_kept then redis.call('HSET', header, 'e:' .. m[6], m[7]) end
      end
    end
    if m[4] ~= '' then fx.deliver(m[2], m[3], m[4], m[5]) end
  else
    error('unknown message ' .. tostring(verb))
  end
end
