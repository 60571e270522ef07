-- Puts a whole temporary key in the place of the key, with its expiry, in one
-- step. KEYS: the temporary key, the key. ARGV: the command that tells its
-- length, the length that it must have, the expiry or -1.
-- Returns the length that was found; if that is another, nothing is done: the
-- temporary key has expired, and what there is of it is what came late.
local found = redis.call(ARGV[1], KEYS[1])
if found == tonumber(ARGV[2]) then
  redis.call('UNLINK', KEYS[2])
  redis.call('RENAME', KEYS[1], KEYS[2])
  if tonumber(ARGV[3]) >= 0 then
    redis.call('PEXPIREAT', KEYS[2], ARGV[3])
  else
    redis.call('PERSIST', KEYS[2])
  end
end
return found
