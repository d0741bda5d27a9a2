-- change_many: write fields of many records, each by itself: one that is refused does not keep the others from being written.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   create   word    0: a record must be there; new: it must not; 1: either
--   ttl      ms      each goes after so long, '' leaves that as it is
--   entity   text    whose records they are
--   ...      per record: its job, how many arguments follow, the arguments of `set`, see lib/record.lua; claims come last
--            among the fields
-- RETURNS { word, text, ... }, one pair per record
--   CREATED, UPDATED  ''
--   NOTFOUND, EXISTS  ''
--   TAKEN, CLAIM      see lib/record.lua
--   ERROR             what Redis said
-- HOLDS
--   (1) there is one pair per record, whatever became of the others
-- COST  O(records * fields)
--- @include record
--- @lazy claims
--- @lazy changed
local MOST_AT_ONCE = 4000 -- arguments; Lua's unpack stops near 8,000
local watched = redis.call('EXISTS', base .. 'watch:' .. entity) == 1
local id_at = #entity + 2

-- What most records are: nobody watches, there are no claims. One HSET straight from the arguments.
local function write_plain(job, key, rev, first, pairs_end, last)
  local done
  if rev then
    done = redis.pcall('HSET', key, '_updated', now, '_rev', string.format('%.0f', rev + 1), unpack(ARGV, first, pairs_end))
  else
    done = redis.pcall('HSET', key, '_entity', entity, '_id', string.sub(job, id_at), '_created', now, '_updated', now,
      '_rev', '1', unpack(ARGV, first, pairs_end))
  end
  if type(done) == 'table' then return 'ERROR', done.err end
  if rev and last > pairs_end then redis.call('HDEL', key, unpack(ARGV, pairs_end + 1, last)) end
  return 'OK', ''
end

local function write_any(job, first, last)
  local arguments = {}
  for i = first - 1, last do arguments[i - first + 2] = ARGV[i] end
  local fine, word, text = pcall(fx.change_record, job, 'set', arguments, nil)
  if fine then return word, text end
  return 'ERROR', type(word) == 'table' and word.err or tostring(word)
end

local at, replies = 6, {}
while at <= #ARGV do
  local job, first = ARGV[at], at + 3
  local last = at + 1 + ARGV[at + 1]
  local key, pairs_end = fx.record_key(job), first + 2 * ARGV[at + 2] - 1
  local known, word, text = redis.pcall('HMGET', key, '_rev', '_claims'), nil, ''
  if known.err then
    word, text = 'ERROR', known.err
  elseif not known[1] and create == '0' then
    word = 'NOTFOUND'
  elseif known[1] and create == 'new' then
    word = 'EXISTS'
  else
    local has_claims = known[2] or (pairs_end > first and string.sub(ARGV[pairs_end - 1], 1, 2) == '_!')
    if watched or has_claims or last - first > MOST_AT_ONCE then
      word, text = write_any(job, first, last)
    else
      word, text = write_plain(job, key, known[1], first, pairs_end, last)
    end
    if word == 'OK' then
      word, text = known[1] and 'UPDATED' or 'CREATED', ''
      if ttl ~= '' then fx.expire_record(job, ttl) end
    end
  end
  replies[#replies + 1], replies[#replies + 2] = word, text
  at = last + 1
end
return replies
