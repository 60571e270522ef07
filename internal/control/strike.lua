-- Takes a member off the roll if it has not refreshed since its line was read:
-- whoever holds a lease has a line that is newer.
-- KEYS: roll, census. ARGV: member, its beat as it was read.
local line = redis.call('HGET', KEYS[1], ARGV[1])
if not line then
  return 1
end
if tostring(cjson.decode(line)['beat']) ~= ARGV[2] then
  return 0
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
