-- Puts back the jobs whose worker is gone, without counting an attempt, and gives a
-- lease to those that have none, so that their turn comes if nobody has them.
--
-- KEYS: active, lease, pending, archived of a queue.
-- ARGV: prefix of jobs, seconds after a lease's end, seconds of a new lease, how
-- often a job may be put back, at most so many. It returns the numbers put back,
-- leased, given up, and of ids without a job; then the ids that were given up.
local now = redis.call('TIME')
local second = tonumber(now[1])
local most = tonumber(ARGV[5])
local back, leased, gone = 0, 0, 0
local given = {}

for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
	if not redis.call('ZSCORE', KEYS[2], id) then
		redis.call('ZADD', KEYS[2], second + ARGV[3], id)
		leased = leased + 1
	end
end

local over = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', second - ARGV[2], 'LIMIT', 0, most)
for _, id in ipairs(over) do
	local job = ARGV[1] .. id
	redis.call('ZREM', KEYS[2], id)
	if redis.call('LREM', KEYS[1], 0, id) == 0 or redis.call('EXISTS', job) == 0 then
		gone = gone + 1
	elseif redis.call('HINCRBY', job, 'lost', 1) > tonumber(ARGV[4]) then
		redis.call('ZADD', KEYS[4], second, id)
		redis.call('HSET', job, 'state', 'archived')
		table.insert(given, id)
	else
		redis.call('RPUSH', KEYS[3], id)
		redis.call('HSET', job, 'state', 'pending', 'pending_since', now[1] .. string.format('%06d', now[2]) .. '000')
		back = back + 1
	end
end
return {back, leased, #given, gone, given}
