-- waiters: processes to tell of a run's end, names parted by blanks in one field of the header.
--- @include fx
function fx.add_waiter(header, waiters, process)
  waiters = waiters or ''
  if string.find(' ' .. waiters .. ' ', ' ' .. process .. ' ', 1, true) then return end
  redis.call('HSET', header, 'waiters', waiters == '' and process or waiters .. ' ' .. process)
end
