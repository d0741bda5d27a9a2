-- ended: whether a status is one of the three ends.
local function ended(status) return status == 'completed' or status == 'failed' or status == 'interrupted' end
