-- Replaces the values of a session that is there, if nobody else has since it was
-- read. It never makes one: a logout wins over a save that comes later. Its expiry
-- stays. The version is the time in ms, or the one after the last: so that of a save
-- that a failover has lost never comes again, neither to who read what was lost nor
-- to the fall-back, which has it.
--
-- KEYS[1] session
-- ARGV    version that was read, nonce, values
-- Returns the new version; 0 if there is no session; -1 if it was changed or
-- replaced by another id.
local had = redis.call('HMGET', KEYS[1], 'v', 'n', 'x', 'r')
if had[3] or not had[1] then
  return 0
end
if had[2] == ARGV[2] then
  return tonumber(had[1]) -- this very save: its reply was lost
end
if had[4] or had[1] ~= ARGV[1] then
  return -1
end
local t = redis.call('TIME')
local version = math.max(tonumber(had[1]) + 1, t[1] * 1000 + math.floor(t[2] / 1000))
redis.call('HSET', KEYS[1], 'd', ARGV[3], 'v', string.format('%.0f', version), 'n', ARGV[2])
return version
