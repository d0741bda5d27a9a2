-- graph: the state of a graph job, base .. 'g:' .. job:
--   ':'  the semaphore          '#'  its metadata, a JSON object that is never changed, without its closing brace
--   'u'  last updated           '$'  the job's data, a JSON object; absent where none was ever mapped
--   'e'  its error, JSON        the rest: activities, ledgers, markers; see docs/keyspace.md
-- A job is a graph's if its header has a field `graph`: the topic it publishes to, or '' for none.
--- @include fx
--- @include watch
local INTERRUPTED = -1000000000
local WHOLE_STATE = 256 -- fields; a job with more of them has the rest asked for by name

local function json_text(text)
  return '"' .. string.gsub(text, '[%c"\\]', function(c) return string.format('\\u%04x', string.byte(c)) end) .. '"'
end

function fx.graph_key(job) return base .. 'g:' .. job end

-- What callers, parents and subscribers are shown of a job: {"metadata": …, "data": …}, data left out where there is none.
function fx.graph_output(job)
  local s = redis.call('HMGET', fx.graph_key(job), '#', 'u', ':', 'e', '$')
  if not s[1] then return nil end
  local text = '{"metadata":' .. s[1] .. ',"ju":"' .. (s[2] or '') .. '","js":' .. (s[3] or '0')
  if s[4] then text = text .. ',"err":' .. json_text(s[4]) end
  text = text .. '}'
  if s[5] then text = text .. ',"data":' .. s[5] end
  return text .. '}', s[4]
end

-- Tell those who subscribe to an app what a job of it came to: as a change of "out/<app>", so that nothing is missed.
function fx.graph_publish(job, topic, output)
  local app, id = string.match(job, '^([^:]*):(.*)$')
  local entity = 'out/' .. app
  local epoch = redis.call('HGET', base .. 'watch:' .. entity, 'epoch')
  if epoch then fx.tell_watchers(entity, epoch, { '_id', id, 't', topic, 'o', output }) end
end

-- The end of a graph job, whoever ended it: its output takes the place of the payload. With code err that is the error
-- with the output beside it, so that who knows nothing of graphs reads it as any failure.
function fx.graph_end(job, status, code, payload, topic, problem)
  local key = fx.graph_key(job)
  if status == 'interrupted' then redis.call('HINCRBY', key, ':', INTERRUPTED) end
  if code == 'err' and redis.call('HEXISTS', key, 'e') == 0 then redis.call('HSET', key, 'e', payload) end
  local output, problem = fx.graph_output(job)
  if not output then return payload end
  if topic ~= '' then fx.graph_publish(job, topic, output) end
  if code ~= 'err' then return output end
  local inner = string.match(problem, '^{(.*)}$') or ''
  if not string.find(inner, '"type":', 1, true) then
    inner = inner .. (status == 'interrupted' and ',"type":"JobInterrupted","reason":' .. json_text(problem) or ',"type":"GraphFailed"')
  end
  if not string.find(inner, '"attempts":', 1, true) then inner = inner .. ',"attempts":1,"traceback":""' end
  return '{' .. inner .. ',' .. string.sub(output, 2)
end

-- The state as names and values in turn: all of it, or of a job with very much of it what every step needs.
function fx.graph_state(job)
  local key = fx.graph_key(job)
  if redis.call('HLEN', key) <= WHOLE_STATE then return 1, redis.call('HGETALL', key) end
  local names, state = { ':', '#', 'u', 'e', '$' }, {}
  local found = redis.call('HMGET', key, unpack(names))
  for i = 1, #names do
    if found[i] then state[#state + 1], state[#state + 2] = names[i], found[i] end
  end
  return 0, state
end
