-- cancel: ask a run to end itself. The request is an entry of its journal and is told to the function in its turn, like
-- an outcome, so every replay is cancelled at the same place. Returns OK, NOTFOUND or ENDED.
--- @include fx
--- @include keys
--- @include append
--- @include ended

-- How far a worker has come with a run: 'new' nobody was given it; 'given' its first message was read, and no step of it
-- applied yet (its journal is not looked at until then); 'begun' whoever has it or gets it next reads the journal.
local function progress(header)
  local h = redis.call('HMGET', header, 'status', 'seq', 'topic', 'message')
  local status, message = h[1], h[4]
  if status == 'pending' or status == 'delayed' then return 'new' end
  if status ~= 'queued' or h[2] ~= '0' then return 'begun' end
  if not message then return 'new' end -- it stands in line at its gate
  if string.sub(message, 1, 1) ~= 'q' then return 'begun' end
  local id = string.sub(message, 2)
  local pending = redis.pcall('XPENDING', base .. 'q:' .. h[3], 'g', id, id, 1)
  return not pending.err and #pending > 0 and 'given' or 'new'
end

local function ask(dim, job, payload, problem)
  local header = header_key(dim, job)
  if redis.call('HSETNX', header, 'cancel', '1') == 0 then return end
  local how = progress(header)
  if how == 'new' then
    fx.revoke(dim, job)
    fx.finish(dim, job, 'interrupted', 'err', payload, '', problem)
    return
  end
  local length, entry = append(dim, job, '0', 'cancel', 'ok', '', payload)
  if dim .. ' ' .. job == fx.stepping then return end
  if how == 'given' or redis.call('HGET', header, 'status') == 'backoff' then
    -- Whoever runs it without knowing its journal must begin anew; whoever is to run it later need not wait.
    fx.revoke(dim, job)
    fx.requeue(dim, job)
  else
    fx.notify(dim, job, length - 1, entry)
  end
end

function fx.cancel(run, payload, problem, asker)
  local dim, job = split_run(run)
  local header = header_key(dim, job)
  local status = redis.call('HGET', header, 'status')
  if not status then
    fx.answer(asker, 'notfound', '')
    return 'NOTFOUND'
  end
  if ended(status) then
    fx.answer(asker, 'ok', 'false')
    return 'ENDED'
  end
  if dim == '0' then
    for _, field in ipairs(redis.call('HKEYS', header)) do
      if string.sub(field, 1, 2) == 'k:' then ask(string.sub(field, 3), job, payload, problem) end
    end
  end
  ask(dim, job, payload, problem)
  fx.answer(asker, 'ok', 'true')
  return 'OK'
end
