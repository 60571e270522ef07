-- Replaces the values of a session that is there, if nobody else has since it was
-- read. It never makes one: a logout wins over a save that comes later. Its expiry
-- stays.
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
local version = tonumber(had[1]) + 1
redis.call('HSET', KEYS[1], 'd', ARGV[3], 'v', version, 'n', ARGV[2])
return version
