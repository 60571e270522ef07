-- Reads some of what a group holds pending, and the server's time in
-- milliseconds, in one step. ARGV: the group, the first identifier, how many.
local time = redis.call('TIME')
return { time[1] * 1000 + math.floor(time[2] / 1000),
  redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], '+', ARGV[3]) }
