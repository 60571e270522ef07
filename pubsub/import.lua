-- Takes over a topic from the other side of a plain pair, once a move: what it has is
-- nothing, or older.
--   KEYS[3] and on: all pages of last values
--   ARGV: move, expiry (ms); of the head, and of each page, the number of words that
--         follow, fields and values
-- Returns 1 if it was taken over.
local move = ARGV[1]
local side = redis.call('GET', KEYS[2])
if side ~= 'open ' .. move or redis.call('HGET', KEYS[1], 'g') == move then
  return 0
end
local at = 3
local function take(key)
  local last = at + tonumber(ARGV[at])
  redis.call('DEL', key)
  for i = at + 1, last, 2 do
    redis.call('HSET', key, ARGV[i], ARGV[i + 1])
  end
  redis.call('PEXPIRE', key, ARGV[2])
  at = last + 1
end
take(KEYS[1])
redis.call('HSET', KEYS[1], 'g', move)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
for i = 3, #KEYS do
  take(KEYS[i])
end
return 1
