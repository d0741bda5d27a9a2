-- graph: the state of a graph job, base .. 'g:' .. job:
--   ':'  the semaphore          '#'  its metadata, a JSON object that is never changed, without its closing brace; in
--   'u'  last updated                pieces '#', '#1' … so that the hash stays compact
--   'e'  its error, JSON        '$'  the job's data, a JSON object; absent where none was ever mapped
--   and activities, ledgers, markers; see docs/keyspace.md
-- A job is a graph's if its header has a field `graph`: the topic it publishes to, or '' for none.
--- @include fx
--- @include watch
local INTERRUPTED = -1000000000
local WHOLE_STATE = 256 -- fields; a job with more of them has the rest asked for by name

local function json_text(text)
  return '"' .. string.gsub(text, '[%c"\\]', function(c) return string.format('\\u%04x', string.byte(c)) end) .. '"'
end

function fx.graph_key(job) return base .. 'g:' .. job end

-- What callers, parents and subscribers are shown of a job: {"metadata": …, "data": …}, data left out where there is none;
-- and the error, if it has one.
function fx.graph_output(job)
  local s = redis.call('HMGET', fx.graph_key(job), 'u', ':', 'e', '$', '#', '#1', '#2', '#3', '#4', '#5', '#6', '#7')
  if not s[5] then return nil end
  local text = '{"metadata":' .. s[5]
  for at = 6, #s do
    if not s[at] then break end
    text = text .. s[at]
  end
  text = text .. ',"ju":"' .. (s[1] or '') .. '","js":' .. (s[2] or '0')
  if s[3] then text = text .. ',"err":' .. json_text(s[3]) end
  text = text .. '}'
  if s[4] then text = text .. ',"data":' .. s[4] end
  return text .. '}', s[3]
end

-- How a job ended, as it is told: its output; with code err its error with the output beside it, so that who knows nothing
-- of graphs reads it as any failure. Nothing of it is stored: it is made of the state when somebody asks.
function fx.graph_result(job, status, code)
  local output, problem = fx.graph_output(job)
  if not output or code ~= 'err' then return output end
  local inner = string.match(problem or '', '^{(.*)}$') or ''
  if not string.find(inner, '"type":', 1, true) then
    local reason = string.match(inner, '"message":("[^"\\]*")') or '""'
    inner = inner .. (status == 'interrupted' and ',"type":"JobInterrupted","reason":' .. reason or ',"type":"GraphFailed"')
  end
  if not string.find(inner, '"attempts":', 1, true) then inner = inner .. ',"attempts":1,"traceback":""' end
  return '{' .. inner .. ',' .. string.sub(output, 2)
end

-- Tell those who subscribe to an app what a job of it came to: as a change of "out/<app>", so that nothing is missed.
function fx.graph_publish(job, topic, output)
  local app, id = string.match(job, '^([^:]*):(.*)$')
  local entity = 'out/' .. app
  local epoch = redis.call('HGET', base .. 'watch:' .. entity, 'epoch')
  if epoch then fx.tell_watchers(entity, epoch, { '_id', id, 't', topic, 'o', output }) end
end

-- The end of a graph job, whoever ended it. Returns what it is told as; nothing for one that never began, whose end is
-- kept as that of any other job.
function fx.graph_end(job, status, code, payload, topic)
  local key = fx.graph_key(job)
  if redis.call('HEXISTS', key, '#') == 0 then return nil end
  if status == 'interrupted' then redis.call('HINCRBY', key, ':', INTERRUPTED) end
  if code == 'err' and redis.call('HEXISTS', key, 'e') == 0 then redis.call('HSET', key, 'e', payload) end
  if topic ~= '' then fx.graph_publish(job, topic, (fx.graph_output(job))) end
  return fx.graph_result(job, status, code)
end

-- The state as names and values in turn: all of it, or of a job with very much of it what every step needs.
function fx.graph_state(job)
  local key = fx.graph_key(job)
  if redis.call('HLEN', key) <= WHOLE_STATE then return 1, redis.call('HGETALL', key) end
  local names, state = { ':', 'u', 'e', '$', '#', '#1', '#2', '#3', '#4', '#5', '#6', '#7' }, {}
  local found = redis.call('HMGET', key, unpack(names))
  for i = 1, #names do
    if found[i] then state[#state + 1], state[#state + 2] = names[i], found[i] end
  end
  return 0, state
end
