-- Reads a user's list.
--
-- KEYS[1] list
-- ARGV    age in ms
-- Returns the hashes, oldest entry first, each followed by 1 if it was entered
-- longer than that age ago, else by 0.
local t = redis.call('TIME')
local old = t[1] * 1000 + math.floor(t[2] / 1000) - ARGV[1]
local list = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 2, #list, 2 do
  list[i] = tonumber(list[i]) < old and 1 or 0
end
return list
