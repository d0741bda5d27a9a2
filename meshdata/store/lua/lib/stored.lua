-- stored: the result of a run that is over. A small one stands in the header; a longer one would take the header out of
-- its compact form (for 500 bytes more), so it is the journal's last entry, of kind "end".
local function stored(result, journal)
  if result then return result end
  local entry = redis.call('LINDEX', journal, -1) or '\n'
  return string.sub(entry, string.find(entry, '\n', 1, true) + 1)
end
