-- large: a payload above the limit does not stand in the journal but in a hash beside it, under a number; the journal has
-- "\1<number> <bytes>" in its place, as no other payload begins. The hash lives as long as the journal. (A journal is
-- read from end to end by whoever takes a run over, in pieces of so many entries: with small entries the pieces are small.)
--- @include fx
function fx.large_key(dim, job)
  if dim == '0' then return base .. 'v:' .. job end
  return base .. 'hv:' .. dim .. ':' .. job
end

-- Keep a payload; what stands for it.
function fx.put_large(dim, job, payload)
  local key = fx.large_key(dim, job)
  local number = redis.call('HINCRBY', key, 'n', 1)
  redis.call('HSET', key, number, payload)
  return '\1' .. number .. ' ' .. #payload
end

-- A payload as it was, of what stands in the journal.
function fx.get_large(dim, job, payload)
  local number = string.match(payload, '^\1(%d+) ')
  return number and redis.call('HGET', fx.large_key(dim, job), number) or payload
end

-- Entries as they were.
function fx.whole(dim, job, entries)
  for i = 1, #entries do
    local head, payload = string.match(entries[i], '^([^\n]*\n)(\1.*)$')
    if head then entries[i] = head .. fx.get_large(dim, job, payload) end
  end
  return entries
end
