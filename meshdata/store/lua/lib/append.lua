-- append: write one outcome at the end of a run's journal. An entry is
--   "<ms>[/<took>] <position> <kind> <code> <name>\n<payload>"
-- where took says how many ms the call took, less than one left out;
-- its index in the list is its place in the total order of outcomes. Returns the journal's new length and the entry.
--- @include fx
--- @include keys
--- @include now
local LARGE_VALUE = 65536 -- bytes; the loader puts the mesh's own setting here

local function append(dim, job, pos, kind, code, name, payload, took)
  if #payload > LARGE_VALUE then payload = fx.put_large(dim, job, payload) end
  local entry = now .. (took and took ~= '' and took ~= '0' and '/' .. took or '') .. ' ' .. pos .. ' ' .. kind .. ' ' .. code .. ' ' .. name .. '\n' .. payload
  return redis.call('RPUSH', journal_key(dim, job), entry), entry
end
