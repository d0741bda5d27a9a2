-- start_job: create a job and queue its first message, or say what is there already. The spec is a list:
--    1 job        2 topic      3 body (journal entry 0, opaque)     4 function name
--    5 ttl        ms, 'inf', or '' to forget it a second after its end
--    6 hookable   '1' or '0'   7 record '1' keeps one from the start, '' only once state is written
--    8 waiter     process to tell of the end, or ''
--    9 policy     attach, fail, restart (begin anew what is over), flush (begin anew), retry (begin anew after a failure),
--                 own (a parent's default id)
--   10 parent     "<partition> <position> <run>" or ''
--   11 further    '' or, packed: await ('1' if the parent waits for the result), answer (what the parent gets at once
--                 when it does not: its id as JSON), origin (job at the root of the tree), delay in ms, queue as the
--                 caller named it, token (tells a start sent twice), pending (reserve the id only, for so many ms or
--                 'inf'), limit (ms after its begin at which it fails), slot (of a job of a schedule: "<partition> <born>
--                 <name>" of that), graph ('=' and the topic a graph job publishes to, '' for other jobs), held ('1': its
--                 caller carries out its first step itself, in the same script), priority (u high, b low, '' normal), key
--                 (of the topic's limits); each '' for none
--   12.. seed fields of the record, name and value in turn
-- Returns CREATED, PENDING, EXISTS or DONE; with DONE the code and the result.
--- @include fx
--- @include keys
--- @include append
--- @include ended
--- @include first_fence
--- @include pack
--- @include stored
--- @include queue_new
--- @include large
--- @include graph
local LAPSED_MS = 1000

function fx.start_job(s)
  local further = s[11] ~= '' and unpack_list(s[11]) or { '', '', '', '', '', '', '', '', '', '', '' }
  local awaited, answer, origin, delay, queue, token, pending, limit, slot, graph, held, class, key = unpack(further)
  local job, topic, body, policy, parent = s[1], s[2], s[3], s[9], s[10]
  local header = header_key('0', job)
  local old = redis.call('HMGET', header, 'status', 'code', 'result', 'waiters', 'token')
  local status = old[1]
  local again = token ~= '' and old[5] == token
  if status and policy == 'own' then
    if redis.call('HGET', header, 'parent') == parent then
      local first = redis.call('LINDEX', journal_key('0', job), 0) or ''
      local known = fx.get_large('0', job, string.match(first, '\n(.*)$') or '')
      if status ~= 'failed' and status ~= 'interrupted' and known == body then
        if awaited ~= '1' then
          fx.answer(parent, 'ok', answer)
        elseif status == 'completed' then
          fx.answer(parent, old[2], stored(old[3], '0', job))
        end
        return 'PENDING', '', ''
      end
      redis.call('HDEL', header, 'parent')
      fx.flush(job)
      status = false
    end
  end
  local anew = policy == 'flush'
    or (policy == 'restart' and ended(status))
    or (policy == 'retry' and (status == 'failed' or status == 'interrupted'))
  if status and anew and not again then
    fx.flush(job)
    status = false
  end
  if status then
    local refuses = policy == 'fail' or policy == 'restart'
    if again and refuses then return 'PENDING', '', '' end
    if parent ~= '' then fx.answer(parent, 'exists', '') end
    if refuses then return 'EXISTS', '', '' end
    if ended(status) then return 'DONE', old[2], stored(old[3], '0', job) end
    if s[8] ~= '' then fx.add_waiter(header, old[4], s[8]) end
    return 'PENDING', '', ''
  end
  local fence = first_fence()
  local stands = pending ~= '' and 'pending' or delay ~= '' and 'delayed' or held == '1' and 'waiting' or 'queued'
  local fields = {
    'status', stands, 'fence', fence, 'seq', '0', 'owner', '', 'topic', topic, 'created', now,
    'ttl', s[5], 'hookable', s[6],
  }
  local function field(name, value)
    if value ~= '' then fields[#fields + 1], fields[#fields + 2] = name, value end
  end
  field('waiters', s[8])
  field('parent', parent)
  field('await', awaited)
  field('origin', origin)
  field('token', token)
  field('limit', limit)
  field('slot', slot or '')
  if graph and graph ~= '' then fields[#fields + 1], fields[#fields + 2] = 'graph', string.sub(graph, 2) end
  field('loose', limit ~= '' and '1' or '')
  local run, due = '0 ' .. job, ''
  if (stands == 'pending' or stands == 'delayed') and pending ~= 'inf' then
    due = string.format('%.0f', now_up + tonumber(pending ~= '' and pending or delay))
    field('due', due)
  end
  field('class', class or '')
  field('key', key or '')
  class = class and class ~= '' and class
  local limits, where, place = stands == 'queued' and redis.call('HGET', base .. 'limits', topic), nil, nil
  if stands == 'queued' and (limits or class) then
    where, place = fx.place(limits, topic, class, key or '', fence)
    field(where, place)
  elseif stands == 'queued' then
    field('message', 'q' .. fx.queue_new(topic, run, fence, now, body))
  end
  redis.call('HSET', header, unpack(fields))
  if stands ~= 'waiting' then append('0', job, '0', 'start', 'ok', s[4], body) end
  if s[7] == '1' or #s > 11 then
    local record = {}
    for i = 12, #s do record[#record + 1] = s[i] end
    if parent ~= '' then
      record[#record + 1], record[#record + 2] = '_parent', string.match(parent, '^%d+ %S+ %d+ (.*)$')
    end
    if origin ~= '' then record[#record + 1], record[#record + 2] = '_origin', origin end
    if queue ~= '' then record[#record + 1], record[#record + 2] = '_queue', queue end
    local watched = fx.watch(job)
    fx.in_parts('HSET', fx.record_key(job), fx.stamp(job, record, (stands == 'queued' or stands == 'waiting') and 'running' or stands))
    if watched then fx.changed(watched) end
    -- A record made before its job may have had a time to live: from now on its job's counts.
    if redis.call('PERSIST', fx.record_key(job)) == 1 then fx.keep_claims(job) end
  end
  if limit ~= '' and (stands == 'queued' or stands == 'waiting') then fx.set_timer('x ' .. run, now_up + tonumber(limit)) end
  if stands == 'delayed' then
    fx.set_timer('q ' .. run, due)
  elseif due ~= '' then
    -- The timer takes a reservation away and tells those who await it; where nobody serves, Redis does without telling.
    fx.set_timer('p ' .. run, due)
    fx.expire(job, due + LAPSED_MS)
  end
  if where then fx.placed(where, place, run, topic, class or 'q', fence) end
  if parent ~= '' and awaited ~= '1' then fx.answer(parent, 'ok', answer) end
  return 'CREATED', '', ''
end
