-- Takes over a topic from the other side of a plain pair, once a move: what it has is
-- nothing, or older.
--   ARGV: move, expiry (ms), fields and values
-- Returns 1 if it was taken over.
local key, move = KEYS[1], ARGV[1]
local side = redis.call('GET', KEYS[2])
if side ~= 'open ' .. move or redis.call('HGET', key, 'g') == move then
  return 0
end
redis.call('DEL', key)
redis.call('HSET', key, 'g', move)
for i = 3, #ARGV, 2 do
  if ARGV[i] ~= 'g' then
    redis.call('HSET', key, ARGV[i], ARGV[i + 1])
  end
end
redis.call('PEXPIRE', key, ARGV[2])
return 1
