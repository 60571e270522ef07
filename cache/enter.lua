-- Notes that a thing was seen in a region, and drops what was not seen there for a
-- lifetime.
--
-- KEYS    places of the region, times of the region
-- ARGV    longitude, latitude, id, lifetime in ms
-- Twice is as good as once.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function ms(n) return string.format('%.0f', n) end
local old = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ms(now - ARGV[4]), 'LIMIT', 0, 100)
for _, id in ipairs(old) do
  redis.call('ZREM', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
end
redis.call('GEOADD', KEYS[1], ARGV[1], ARGV[2], ARGV[3])
redis.call('ZADD', KEYS[2], ms(now), ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return #old
