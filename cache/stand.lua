-- Says which version a tag stands at, for entries that are about to be loaded. A tag
-- that is not there begins at the clock, in microseconds, so that a version that was
-- lost does not come again.
--
-- KEYS    tag
-- ARGV    lifetime in ms that it must have at least
-- Returns the version.
local v = redis.call('GET', KEYS[1])
if not v then
  local t = redis.call('TIME')
  v = string.format('%.0f', t[1] * 1000000 + t[2])
  redis.call('SET', KEYS[1], v, 'PX', ARGV[1] * 2)
elseif redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[1] * 2)
end
return v
