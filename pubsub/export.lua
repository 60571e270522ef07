-- Reads a topic of a partition that was given up with a move.
--   ARGV: move
-- Returns its expiry (ms, -2: there is none) and its fields.
if redis.call('GET', KEYS[2]) ~= 'given ' .. ARGV[1] then
  return redis.error_reply('MOVING the partition was not given up with this move')
end
return { redis.call('PTTL', KEYS[1]), redis.call('HGETALL', KEYS[1]) }
