-- Reads a session and lets its idle time begin anew, without writing its values.
-- Twice is as good as once.
--
-- KEYS[1] session
-- ARGV    idle time in ms
-- Returns the fields that HMGET would.
local r = redis.call('HMGET', KEYS[1], 'u', 'd', 'v', 'c', 'a', 'x', 'r')
if r[5] and not r[6] and not r[7] then
  local t = redis.call('TIME')
  local idle = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[1]
  redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', math.min(tonumber(r[5]), idle)))
end
return r
