-- The coordinator's lock: a hash of id, beat and about, without expiry, since a
-- server's clock proves nothing about a process.
-- KEYS: lock. ARGV: verb, own id, and for take: the id to take over from or '',
-- the beat that it was seen with, about. One that has beaten since lives.
-- Returns {'mine'} or {'other', id, beat, about}.
local id = redis.call('HGET', KEYS[1], 'id') or ''
local verb = ARGV[1]
local beat = redis.call('HGET', KEYS[1], 'beat') or '0'
if verb == 'take' and (id == ARGV[3] and beat == ARGV[4] or id == ARGV[2]) then
  redis.call('HSET', KEYS[1], 'id', ARGV[2], 'about', ARGV[5])
  redis.call('HINCRBY', KEYS[1], 'beat', 1)
  return {'mine'}
end
if verb == 'renew' and id == ARGV[2] then
  redis.call('HINCRBY', KEYS[1], 'beat', 1)
  return {'mine'}
end
if verb == 'release' and id == ARGV[2] then
  redis.call('DEL', KEYS[1])
  return {'mine'}
end
return {'other', id, beat, redis.call('HGET', KEYS[1], 'about') or ''}
