-- Puts a tombstone in the place of a session, for as long as the session would
-- have lived at most: what was sent before and comes later finds it and does
-- nothing.
--
-- KEYS[1] session
-- ARGV    lifetime in ms of a tombstone for a session that is not there; 0 for none
-- Returns 1 if there is a tombstone now, else 0; the hash of the id that has
-- replaced this one, or ''; the user, or ''. The same when it is run again.
local had = redis.call('HMGET', KEYS[1], 'a', 'x', 'to', 'u')
local to, user = had[3] or '', had[4] or ''
if had[2] then
  return {1, to, user}
end
local ends = had[1]
if not ends then
  if ARGV[1] == '0' then
    return {0, '', ''}
  end
  local t = redis.call('TIME')
  ends = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[1])
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'x', 1, 'to', to, 'u', user)
redis.call('PEXPIREAT', KEYS[1], ends)
return {1, to, user}
