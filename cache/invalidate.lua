-- Puts a tombstone in the place of an entry, and takes the right to fill from who has
-- it. The tombstone outlives whatever any process may have in its memory, so that
-- nobody takes an entry that was invalidated for one that Redis has lost.
--
-- KEYS    entry, lock
-- ARGV    what is before the stamp, lifetime in ms
-- Returns the time in ms. Twice is as good as once.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('SET', KEYS[1], ARGV[1] .. string.format('%013.0f', now), 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
return now
