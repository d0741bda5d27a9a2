-- fx: the table the effects live in. Effects call one another (a finished child delivers to its parent, which may queue
-- it), so they are fields of one table and not locals in a fixed order. Most scripts need few of them: those a verb takes
-- in by `@lazy` are defined when the first of them is used.
-- fx.outbox: whether messages for other partitions were left; fx.stepping: the run whose step this is, if it is one;
-- fx.stopped: whether that step has ended its own run.
local fx = { outbox = 0 }
