-- start_job: create a job and queue its first message, or say what is there already. The spec is a list:
--    1 job        2 topic      3 body (journal entry 0, opaque)     4 function name
--    5 ttl        ms, 'inf', or '' to forget it a second after its end
--    6 hookable   '1' or '0'   7 record '1' keeps one from the start, '' only once state is written
--    8 waiter     process to tell of the end, or ''
--    9 policy     attach, fail, flush (begin anew), retry (begin anew after a failure), own (a child under the id its
--                 place in its parent gives it: what is there is of an earlier attempt of that parent)
--   10 parent     "<partition> <position> <run>" or ''      11 await '1' if the parent waits for the result
--   12 answer     what the parent gets at once when it does not wait (its id as JSON)
--   13 origin     job at the root of the tree, or ''        14 delay in ms, '' for none
--   15 queue      as the caller named it, or ''             16 token that tells a start sent twice, or ''
--   17.. seed fields of the record, name and value in turn
-- Returns CREATED, PENDING, EXISTS or DONE; with DONE the code and the result.
--- @include fx
--- @include keys
--- @include append
--- @include ended
--- @include first_fence
function fx.start_job(s)
  local job, topic, body, policy, parent = s[1], s[2], s[3], s[9], s[10]
  local header = header_key('0', job)
  local old = redis.call('HMGET', header, 'status', 'code', 'result', 'waiters', 'token')
  local status = old[1]
  local again = s[16] ~= '' and old[5] == s[16]
  if status and policy == 'own' then
    if redis.call('HGET', header, 'parent') == parent then
      local first = redis.call('LINDEX', journal_key('0', job), 0) or ''
      if status ~= 'failed' and status ~= 'interrupted' and string.sub(first, -#body - 1) == '\n' .. body then
        if s[11] ~= '1' then
          fx.answer(parent, 'ok', s[12])
        elseif status == 'completed' then
          fx.answer(parent, old[2], old[3])
        end
        return 'PENDING', '', ''
      end
      redis.call('HDEL', header, 'parent')
      fx.flush(job)
      status = false
    end
  end
  if status and not again and (policy == 'flush' or (policy == 'retry' and (status == 'failed' or status == 'interrupted'))) then
    fx.flush(job)
    status = false
  end
  if status then
    if again and policy == 'fail' then return 'PENDING', '', '' end
    if parent ~= '' then fx.answer(parent, 'exists', '') end
    if policy == 'fail' then return 'EXISTS', '', '' end
    if ended(status) then return 'DONE', old[2], old[3] end
    if s[8] ~= '' then fx.add_waiter(header, old[4], s[8]) end
    return 'PENDING', '', ''
  end
  local fence = first_fence()
  local fields = {
    'status', 'queued', 'fence', fence, 'seq', '0', 'owner', '', 'topic', topic, 'created', now,
    'ttl', s[5], 'hookable', s[6],
  }
  local function field(name, value)
    if value ~= '' then fields[#fields + 1], fields[#fields + 2] = name, value end
  end
  field('waiters', s[8])
  field('parent', parent)
  field('await', s[11])
  field('origin', s[13])
  field('token', s[16])
  local run = '0 ' .. job
  if s[14] == '' then
    field('message', 'q' .. redis.call('XADD', base .. 'q:' .. topic, '*', 'r', run, 'f', fence, 't', now, 'b', body))
  end
  redis.call('HSET', header, unpack(fields))
  append('0', job, '0', 'start', 'ok', s[4], body)
  if s[7] == '1' or #s > 16 then
    local record = {}
    for i = 17, #s do record[#record + 1] = s[i] end
    if parent ~= '' then
      record[#record + 1], record[#record + 2] = '_parent', string.match(parent, '^%d+ %S+ %d+ (.*)$')
    end
    if s[13] ~= '' then record[#record + 1], record[#record + 2] = '_origin', s[13] end
    if s[15] ~= '' then record[#record + 1], record[#record + 2] = '_queue', s[15] end
    fx.in_parts('HSET', fx.record_key(job), fx.stamp(job, record, 'running'))
  end
  if s[14] ~= '' then fx.set_timer('q ' .. run, now_up + tonumber(s[14])) end
  if parent ~= '' and s[11] ~= '1' then fx.answer(parent, 'ok', s[12]) end
  return 'CREATED', '', ''
end
