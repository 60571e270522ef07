-- The figures of a queue, in one look.
--
-- KEYS: pending, active, scheduled, retry, archived, completed, groups, paused,
-- processed, failed, processed and failed of today, of a queue.
-- ARGV: prefix of jobs, prefix of groups, how many jobs of each kind to weigh.
local function weigh(ids, n)
	local bytes, seen = 0, 0
	for _, id in ipairs(ids) do
		local b = redis.call('MEMORY', 'USAGE', ARGV[1] .. id)
		if b then
			bytes, seen = bytes + b, seen + 1
		end
	end
	return seen > 0 and bytes / seen * n or 0
end

local out, bytes = {}, 0
local sample = tonumber(ARGV[3])
for i = 1, 2 do
	out[i] = redis.call('LLEN', KEYS[i])
	if sample > 0 then
		bytes = bytes + weigh(redis.call('LRANGE', KEYS[i], 0, sample - 1), out[i])
	end
end
for i = 3, 6 do
	out[i] = redis.call('ZCARD', KEYS[i])
	if sample > 0 then
		bytes = bytes + weigh(redis.call('ZRANGE', KEYS[i], 0, sample - 1), out[i])
	end
end
out[7] = 0
for _, group in ipairs(redis.call('SMEMBERS', KEYS[7])) do
	out[7] = out[7] + redis.call('ZCARD', ARGV[2] .. group)
end
out[8] = redis.call('EXISTS', KEYS[8])
for i = 9, 12 do
	out[i] = tonumber(redis.call('GET', KEYS[i])) or 0
end
out[13] = 0
local oldest = redis.call('LINDEX', KEYS[1], -1)
if oldest then
	local since = tonumber(redis.call('HGET', ARGV[1] .. oldest, 'pending_since'))
	local now = redis.call('TIME')
	if since then
		out[13] = math.max(0, math.floor(now[1] * 1000 + now[2] / 1000 - since / 1000000))
	end
end
out[14] = math.floor(bytes)
return out
