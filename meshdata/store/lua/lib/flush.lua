-- flush: take a job away with everything it left: header, journal, record, hooks, waits, what is left of its children.
-- Those of them that live have what their links say. Whoever runs it can write no more, whoever awaits it is told that it
-- is gone. Returns the number of keys removed.
--- @include fx
--- @include keys
--- @include ended
--- @include watch
--- @include large

-- What ended hooks left goes within the hour by itself, and a hook of a later job of the name begins by taking it away: a
-- job that has had more hooks than these does not hold everybody up while all of them are looked for.
local LAST_HOOKS = 1000

function fx.drop_run(dim, job)
  local header = header_key(dim, job)
  local h = redis.call('HMGET', header, 'owner', 'waiters', 'status', 'parent', 'slot', 'gate', 'message')
  if not h[3] then return {}, {} end
  fx.revoke(dim, job)
  if h[1] and h[1] ~= '' then redis.call('SREM', base .. 'own:' .. h[1], dim .. ' ' .. job) end
  local hooks, children, remains = fx.loose_ends(dim, job, header)
  for _, child in ipairs(remains) do children[#children + 1] = { child[1], child[2], 'terminate' } end
  if not ended(h[3]) then
    if h[6] then fx.from_gate(h[6], dim .. ' ' .. job, h[7]) end
    -- An answer that is kept is an earlier job's.
    redis.call('DEL', base .. 'a:' .. dim .. ' ' .. job)
    fx.tell_waiters(dim .. ' ' .. job, h[2], 'gone', '')
    if h[5] then fx.end_slot(h[5], 'gone', '') end
    if h[4] and h[4] ~= '' then
      local partition, pos, parent = string.match(h[4], '^(%d+) (%S+) (.*)$')
      fx.send(partition, { 'childend', parent, pos, 'notfound', '', job })
    end
  end
  return hooks, children
end

function fx.flush(job)
  local dims = tonumber(redis.call('HGET', header_key('0', job), 'dims')) or 0
  local hooks, children = fx.drop_run('0', job)
  local removed = 0
  for _, dim in ipairs(hooks) do
    local _, its = fx.drop_run(dim, job)
    for _, child in ipairs(its) do children[#children + 1] = child end
  end
  local function remove(dim)
    removed = removed + redis.call('DEL', header_key(dim, job), journal_key(dim, job), fx.large_key(dim, job))
  end
  for _, dim in ipairs(hooks) do remove(dim) end
  for dim = math.max(1, dims - LAST_HOOKS + 1), dims do remove(tostring(dim)) end
  fx.flush_children(job, children)
  fx.release_claims(job)
  local watched = fx.watch(job)
  removed = removed + redis.call('DEL', header_key('0', job), journal_key('0', job), base .. 'r:' .. job, fx.large_key('0', job),
    base .. 'g:' .. job)
  if watched then fx.changed(watched) end
  return removed
end
