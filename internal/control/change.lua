-- Replaces the control record of a side if it is still, byte for byte, the one
-- that the writer read. Safe to run twice: the second run finds another record,
-- and the writer knows its own by the nonce in it.
-- KEYS: control, lock, events.
-- ARGV: old record, new record, coordinator that must hold the lock or '',
-- channel of the nudge, event as JSON.
if ARGV[3] ~= '' and redis.call('HGET', KEYS[2], 'id') ~= ARGV[3] then
  return {'lock', redis.call('GET', KEYS[1]) or ''}
end
local now = redis.call('GET', KEYS[1]) or ''
if now ~= ARGV[1] then
  return {'other', now}
end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', '10000', '*', 'event', ARGV[5])
redis.call('PUBLISH', ARGV[4], 'record')
return {'done', ARGV[2]}
