-- hook: run a further function on a living job.
-- KEYS
--   base     prefix  the partition's
-- ARGV
--   now_ms   ms      '' takes the server's clock
--   here     number  this partition
--   job      text    "<entity>:<id>"
--   topic    text    where its message goes
--   body     bytes   its journal entry 0
--   name     text    the function
--   waiter   id      process to tell of its end, ''
-- RETURNS { word, dimension, outbox }
--   OK, NOTFOUND, CLOSED (the job takes no hooks, or no more)
-- COST  O(1)
--- @include apply
local word, dimension = fx.start_hook(job, topic, body, name, waiter, '')
return { word, dimension, outbox }
