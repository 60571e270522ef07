-- Fills an entry, if the right to do so has not been lost: to an invalidation, which
-- what was loaded may not know of, or to time.
--
-- KEYS    entry, lock
-- ARGV    token of who has the right, what is before the stamp, what is after it,
--         lifetime in ms
-- Returns {ms, 1} if it was filled then, also by this very call before (its reply may
-- be lost), else {ms, 0}.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  local had = redis.pcall('GET', KEYS[1])
  if type(had) == 'string' and had:sub(1, 16) == ARGV[2] then
    return {tonumber(had:sub(17, 29)), 1}
  end
  return {now, 0}
end
redis.call('SET', KEYS[1], ARGV[2] .. string.format('%013.0f', now) .. ARGV[3], 'PX', ARGV[4])
redis.call('DEL', KEYS[2])
return {now, 1}
