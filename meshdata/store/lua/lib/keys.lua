-- keys: the keys of a run, built under the partition's base. A run is named "<dim> <job>": dim 0 is the job's main
-- function, 1 and up are its hooks; a job is named "<entity>:<id>".
local function split_run(run)
  local blank = string.find(run, ' ', 1, true)
  return string.sub(run, 1, blank - 1), string.sub(run, blank + 1)
end

local function header_key(dim, job)
  if dim == '0' then return base .. 'j:' .. job end
  return base .. 'hj:' .. dim .. ':' .. job
end

local function journal_key(dim, job)
  if dim == '0' then return base .. 'l:' .. job end
  return base .. 'hl:' .. dim .. ':' .. job
end
