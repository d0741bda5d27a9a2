-- line: where runs wait that have no message, by priority: high (u), normal (q), low (b). A place is behind all of the same
-- priority, and so far behind whoever went last that each gets its share: of 13 of which there are enough of each, 9 are
-- high, 3 normal, 1 low. `gl:` is the line of a bucket of limits ("<topic>:<key>"), or of a topic; `gv:` its last places.
--
-- A topic without limits has a line while there is somebody in it who has a priority. For each member there is a message
-- then that names none: whoever reads it is given the first in line.
--- @include fx
--- @include keys
local STRIDES = { u = 1, q = 3, b = 9 }
local BY_PRIORITY = 'line'

function fx.line_up(name, member, class)
  local key = base .. 'gv:' .. name
  local known = redis.call('HMGET', key, 'v', class)
  local place = math.max(tonumber(known[1]) or 0, tonumber(known[2]) or 0) + STRIDES[class]
  place = string.format('%.0f', place)
  redis.call('HSET', key, class, place)
  redis.call('ZADD', base .. 'gl:' .. name, place, member)
end

-- The first in line leaves it; nil if there is none.
function fx.next_in_line(name)
  local first = redis.call('ZPOPMIN', base .. 'gl:' .. name)
  if redis.call('EXISTS', base .. 'gl:' .. name) == 0 then
    redis.call('DEL', base .. 'gv:' .. name)
  elseif first[1] then
    redis.call('HSET', base .. 'gv:' .. name, 'v', first[2])
  end
  return first[1]
end

-- How a new run is queued that has a priority, or whose topic has limits or a line: a field for its header. When that is
-- written, fx.placed does the rest. `kept` is what `limits` has for the topic.
function fx.place(kept, topic, class, key, fence)
  if kept and kept ~= BY_PRIORITY then return 'gate', fx.gate_of(kept, topic, key, fence) end
  if not kept then redis.call('HSET', base .. 'limits', topic, BY_PRIORITY) end
  return 'line', '1'
end

function fx.placed(field, value, run, topic, class, fence)
  if field == 'gate' then return fx.to_gate(value, run, class) end
  fx.line_up(topic, fence .. ' ' .. run, class)
  -- Those who came before it with messages of their own need not all go first: continuations are read by turns with them.
  redis.call('XADD', base .. (class == 'u' and 'c:' or 'q:') .. topic, '*', 'k', '1')
end

-- Who is the first in line of a topic and still wants to run: its run and fence, or nil.
function fx.pick(topic)
  for _ = 1, 100 do
    local member = fx.next_in_line(topic)
    if not member or redis.call('EXISTS', base .. 'gl:' .. topic) == 0 then
      if redis.call('HGET', base .. 'limits', topic) == BY_PRIORITY then redis.call('HDEL', base .. 'limits', topic) end
    end
    if not member then return end
    local fence, run = string.match(member, '^(%d+) (.*)$')
    local dim, job = split_run(run)
    local h = redis.call('HMGET', header_key(dim, job), 'status', 'fence', 'line')
    if h[1] == 'queued' and h[2] == fence and h[3] then return run, fence end
  end
end
