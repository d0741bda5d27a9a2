-- calls: functions called without a job. A call under way is a message of its topic (fields x its id, w who awaits it, d ms
-- at which nobody does any more, b the arguments, e its entry, o what becomes of the answer, n processes that died with it).
-- An **entry** keeps the answer of an id, and knows the one run that is to bring a newer one; docs/keyspace.md has its fields.
--- @include fx
--- @include keys
--- @include now
--- @include pack
local UNDER_WAY_MS = 86400000

local function entry_key(entry) return base .. 'e:' .. entry end
local function tag_key(tag) return base .. 'tag:' .. tag end

-- What those who await a call know it by.
local function run_of(call, entry)
  local run = 'x ' .. here .. ' ' .. call
  return entry == '' and run or run .. ' ' .. entry
end

-- Whether none of the groups an answer belongs to was flushed since: `tags` is tag and number in turn.
local function tags_hold(tags)
  for i = 1, #tags, 2 do
    if redis.call('ZSCORE', tag_key(tags[i]), '') ~= tags[i + 1] then return false end
  end
  return true
end

-- The message of the run under way, if it is there still.
local function is_under_way(topic, message)
  return message and #redis.call('XRANGE', base .. 'q:' .. topic, message, message) > 0
end

-- An entry loses its answer; whoever awaits the run under way gets what that brings, which is not kept.
local function empty(key, entry, tags)
  redis.call('HDEL', key, 'c', 'v', 'f', 's', 'g', 'x', 'm', 'd', 'l')
  for i = 1, #tags, 2 do
    local tag = tag_key(tags[i])
    if redis.call('ZREM', tag, entry) == 1 and redis.call('ZCARD', tag) == 1 and redis.call('PTTL', tag) == -1 then
      redis.call('PEXPIRE', tag, UNDER_WAY_MS)
    end
  end
  if redis.call('EXISTS', key) == 1 then redis.call('PEXPIRE', key, UNDER_WAY_MS) end
end

-- Take the message of a call out of its stream.
local function unqueue_call(stream, message)
  redis.pcall('XACK', stream, 'g', message)
  redis.call('XDEL', stream, message)
end
