-- Removes what a migration keeps on a side, if nobody has come back meanwhile.
-- KEYS: control, lock, roll, and whatever else is to go. The lock stays: its
-- holder gives it back.
-- ARGV: coordinator that must hold the lock, the record as it was read, then for
-- each line of the roll the member and its beat, as they were read.
-- Returns {'done', how many keys are gone}, or {what is in the way}.
if redis.call('HGET', KEYS[2], 'id') ~= ARGV[1] then
  return { 'lock' }
end
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[2] then
  return { 'record' }
end
if redis.call('HLEN', KEYS[3]) ~= (#ARGV - 2) / 2 then
  return { 'member' }
end
for i = 3, #ARGV, 2 do
  local line = redis.call('HGET', KEYS[3], ARGV[i])
  if not line or tostring(cjson.decode(line)['beat']) ~= ARGV[i + 1] then
    return { 'member' }
  end
end
local gone = 0
for i = 1, #KEYS do
  if i ~= 2 then
    gone = gone + redis.call('UNLINK', KEYS[i])
  end
end
return { 'done', tostring(gone) }
