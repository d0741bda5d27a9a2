-- stored: the result of a run that is over. A small one stands in the header; a longer one would take the header out of
-- its compact form (for 500 bytes more), so it is the journal's last entry, of kind "end".
--- @include fx
local function stored(result, dim, job)
  if result then return result end
  local hook, name = dim == '0' and '' or 'h', dim == '0' and job or dim .. ':' .. job
  local entry = redis.call('LINDEX', base .. hook .. 'l:' .. name, -1)
  if not entry then
    local h = redis.call('HMGET', base .. 'j:' .. job, 'status', 'code', 'graph')
    return h[3] and fx.graph_result(job, h[1], h[2]) or ''
  end
  local payload = string.sub(entry, string.find(entry, '\n', 1, true) + 1)
  -- Spelt out once more, as lib/large.lua has it: most who ask for a result need nothing else of that.
  local number = string.match(payload, '^\1(%d+) ')
  return number and redis.call('HGET', base .. hook .. 'v:' .. name, number) or payload
end
