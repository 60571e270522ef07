-- Enters a session into its user's list, before the session is made. Entries are
-- scored with the time of their entry and leave the list when no session of that
-- time can live any more.
--
-- KEYS[1] list
-- ARGV    hash, lifetime of entries in ms
-- Returns how many entries there are.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function ms(n) return string.format('%.0f', n) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ms(now - ARGV[2]))
redis.call('ZADD', KEYS[1], ms(now), ARGV[1])
redis.call('PEXPIREAT', KEYS[1], ms(now + ARGV[2]))
return redis.call('ZCARD', KEYS[1])
