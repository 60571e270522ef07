-- Sets a session of scs, unless it was deleted meanwhile. Twice is as good as once.
--
-- KEYS[1] session
-- ARGV    values, time to live in ms
-- Returns 1; 0 if it was deleted.
if redis.call('HEXISTS', KEYS[1], 'x') == 1 then
  return 0
end
local t = redis.call('TIME')
local ends = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[2])
redis.call('HSET', KEYS[1], 'd', ARGV[1], 'a', ends)
redis.call('PEXPIREAT', KEYS[1], ends)
return 1
