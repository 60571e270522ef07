-- Puts an entry that Redis has lost back as it was, if there is nothing in its place.
--
-- KEYS    entry, lock
-- ARGV    entry, lifetime in ms
-- Returns 1 if it is there now, else 0. The same when it is run again.
local had = redis.pcall('GET', KEYS[1])
if had then
  return had == ARGV[1] and 1 or 0
end
if redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
