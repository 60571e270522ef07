-- Says that an instance lives, or leaves, and counts those that do.
--
-- KEYS: the fleet's. ARGV: the instance, for how many ms its word holds (0: it leaves).
local t = redis.call('TIME')
local now, hold = t[1] * 1000 + math.floor(t[2] / 1000), tonumber(ARGV[2])
if hold > 0 then
  redis.call('ZADD', KEYS[1], now + hold, ARGV[1])
  redis.call('PEXPIRE', KEYS[1], 4 * hold)
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return {redis.call('ZCARD', KEYS[1])}
