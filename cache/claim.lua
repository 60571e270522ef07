-- Asks for the right to fill an entry. One asker has it at a time; the others look
-- again until there is an entry, or the right is free.
--
-- KEYS    entry, lock
-- ARGV    token of the asker, lease in ms, token of an entry that will not do or ''
-- Returns {ms, 1} if the asker has the right, {ms, 0} if another has it, or {ms, 2,
-- entry} if there is another entry than the one that will not do. ms is the time.
-- The same when it is run again.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local had = redis.pcall('GET', KEYS[1])
if type(had) == 'string' and had:sub(2, 2) ~= 't' and had:sub(5, 12) ~= ARGV[3] then
  return {now, 2, had}
end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then
  return {now, 0}
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {now, 1}
