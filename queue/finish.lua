-- Settles a job that has been run with success, in whatever state it is by now.
--
-- KEYS: the job; active, lease, pending, scheduled, retry, archived, completed of its
-- queue; processed of today, processed.
-- ARGV: id, nonce ("" if the job is not ours), seconds to retain it, when today's
-- count expires. 1: settled now. 0: it was before, or the id is another job's.
local found = redis.call('HMGET', KEYS[1], 'msg', 'state', 'unique_key')
local msg, state, unique = found[1], found[2], found[3]
if not msg or state == 'completed' then
	return 0
end
if ARGV[2] == '' then
	if state ~= 'active' then
		return 0
	end
elseif not string.find(msg, ARGV[2], 1, true) then
	return 0
end
local id = ARGV[1]
redis.call('LREM', KEYS[2], 0, id)
redis.call('ZREM', KEYS[3], id)
if state == 'pending' then
	redis.call('LREM', KEYS[4], 0, id)
end
for i = 5, 7 do
	redis.call('ZREM', KEYS[i], id)
end
if unique and redis.call('GET', unique) == id then
	redis.call('DEL', unique)
end
local retain = tonumber(ARGV[3])
if retain > 0 then
	redis.call('ZADD', KEYS[8], redis.call('TIME')[1] + retain, id)
	redis.call('HSET', KEYS[1], 'state', 'completed')
else
	redis.call('DEL', KEYS[1])
end
if redis.call('INCR', KEYS[9]) == 1 then
	redis.call('EXPIREAT', KEYS[9], ARGV[4])
end
redis.call('INCR', KEYS[10])
return 1
