-- Replaces an id by another: from now on the old one gives the session as it was,
-- read-only, and soon nothing.
--
-- KEYS[1] session of the old id
-- ARGV    version that was read ('*' for any), grace in ms, hash of the new id
-- Returns 1; 0 if there is no session; -1 if it was changed, or replaced by
-- another id already.
local had = redis.call('HMGET', KEYS[1], 'v', 'x', 'r', 'to')
if had[2] or not had[1] then
  return 0
end
if had[3] then
  return had[4] == ARGV[3] and 1 or -1
end
if ARGV[1] ~= '*' and had[1] ~= ARGV[1] then
  return -1
end
redis.call('HSET', KEYS[1], 'r', 1, 'to', ARGV[3])
if redis.call('PTTL', KEYS[1]) > tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
