-- Has a job wait for its next run without an attempt being counted, even on its last.
--
-- KEYS: the job; active, lease, retry of its queue. ARGV: id, second of the next run.
if redis.call('LREM', KEYS[2], 0, ARGV[1]) == 0 then
	return redis.error_reply('NOT FOUND')
end
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[4], ARGV[2], ARGV[1])
redis.call('HSET', KEYS[1], 'state', 'retry')
return redis.status_reply('OK')
