-- Notes an effect: a hash of owner, state ("begun", "applied") and the end of the
-- claim in milliseconds. Each verb may be run twice.
--
-- KEYS: the effect. ARGV: verb, owner, milliseconds of a claim, of the note.
local key, verb, owner = KEYS[1], ARGV[1], ARGV[2]
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local was = redis.call('HMGET', key, 'owner', 'state', 'until')
local mine = was[1] == owner

local function put(state)
	redis.call('HSET', key, 'owner', owner, 'state', state, 'until', ms + ARGV[3])
	redis.call('PEXPIRE', key, ARGV[4])
end

if verb == 'begin' then
	if was[2] == 'applied' then
		return 4
	elseif was[1] and not mine then
		return ms < tonumber(was[3]) and 2 or 3
	end
	put('begun')
	return 1
elseif verb == 'retake' then
	if mine or (was[2] == 'begun' and ms >= tonumber(was[3])) then
		put('begun')
		return 1
	end
	return 0
elseif verb == 'commit' then
	put('applied')
	return 1
end
if mine and was[2] == 'begun' then
	redis.call('DEL', key)
end
return 1
