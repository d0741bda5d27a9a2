-- fx: the table the effects live in. Effects call one another (a finished child delivers to its parent, which may queue
-- it), so they are fields of one table and not locals in a fixed order.
local fx = {}
