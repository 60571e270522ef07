-- Refreshes a member's lease: writes its line on the roll and reads the record
-- in one step, so that whoever holds a lease has seen the record it was given under.
-- KEYS: control, roll, identity, seen, lock. ARGV: member, its entry as JSON, channel of
-- the acknowledgement or '' when there is nothing new to tell.
-- When the last refresh was, by this server's clock, outlives a goodbye. It is for
-- those who want to remove the migration's keys: nothing else may read it.
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[4], 'id', ARGV[1], 'at', redis.call('TIME')[1])
if ARGV[3] ~= '' then
  redis.call('PUBLISH', ARGV[3], ARGV[1])
end
return {redis.call('GET', KEYS[1]) or '', redis.call('GET', KEYS[3]) or '', redis.call('HGET', KEYS[5], 'beat') or ''}
