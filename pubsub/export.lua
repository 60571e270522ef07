-- Reads a topic of a partition that was given up with a move.
--   ARGV: move
--   KEYS[3] and on: all pages of last values
-- Returns its expiry (ms, -2: there is none), the fields of its head, and of each page.
if redis.call('GET', KEYS[2]) ~= 'given ' .. ARGV[1] then
  return redis.error_reply('MOVING the partition was not given up with this move')
end
local wrong = unlike({ pages = tonumber(redis.call('HGET', KEYS[1], 'p') or 1) }, #KEYS - 2)
if wrong then
  return redis.error_reply(wrong)
end
local reply = { redis.call('PTTL', KEYS[1]), redis.call('HGETALL', KEYS[1]) }
for i = 3, #KEYS do
  reply[#reply + 1] = redis.call('HGETALL', KEYS[i])
end
return reply
