-- children: what becomes of a job's living children when it ends, by the policy that each link to one holds: terminate
-- ends it at once (its own children by their policies), cancel asks it to end, abandon lets it go on.
--- @include fx
--- @include keys
local PROBLEM = 'its parent ended'
local function end_of(type)
  return '{"type":"' .. type .. '","message":"' .. PROBLEM .. '","code":410,"attempts":1,"traceback":"","reason":"'
    .. PROBLEM .. '"}'
end

-- The message that carries a policy out, as far as there is anything to do; flushed: its parent leaves nothing.
local function order(child, policy, flushed)
  if policy == 'terminate' then
    if flushed then return 'flush', child end
    return 'interrupt', child, end_of('JobInterrupted'), PROBLEM, 'policy', '1', '', ''
  elseif policy == 'cancel' then
    return 'cancel', '0 ' .. child, end_of('JobCancelled'), PROBLEM, ''
  end
end

function fx.close_children(job, children)
  local header = header_key('0', job)
  for _, child in ipairs(children) do
    local name, partition, policy = unpack(child)
    if policy == 'terminate' or policy == 'cancel' then
      -- What is left of it is the job's, as of one that ended before.
      redis.call('HDEL', header, 'c:' .. name)
      redis.call('HSET', header, 'e:' .. name, partition)
      fx.send(partition, { 'disown', name, job, order(name, policy, false) })
    end
  end
end

-- The job is taken away: its children are nobody's from now on.
function fx.flush_children(job, children)
  for _, child in ipairs(children) do
    fx.send(child[2], { 'disown', child[1], job, order(child[1], child[3], true) })
  end
end
