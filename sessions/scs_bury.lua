-- Puts a tombstone in the place of a session of scs, for as long as that would have
-- lived: a commit that comes later finds a key of another type, and does nothing.
-- Twice is as good as once.
--
-- KEYS[1] session
-- ARGV    time to live in ms, for a session that has lost its own
-- Returns 1 if there is a tombstone now; 0 if there was no session.
local left = redis.call('PTTL', KEYS[1])
if left == -2 then
  return 0
end
if redis.call('TYPE', KEYS[1]).ok == 'hash' then
  return 1
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'x', 1)
redis.call('PEXPIRE', KEYS[1], left > 0 and left or ARGV[1])
return 1
