-- Raises the version of a tag: no entry of an earlier one counts any more.
--
-- KEYS    tag
-- ARGV    lifetime in ms
-- Returns the version. Twice is as good as once.
local t = redis.call('TIME')
local v = t[1] * 1000000 + t[2]
local had = tonumber(redis.call('GET', KEYS[1]) or 0)
if had >= v then
  v = had + 1
end
v = string.format('%.0f', v)
redis.call('SET', KEYS[1], v, 'PX', ARGV[1])
return v
