-- Takes so many units from one window, or none if it has too little left: what most
-- calls are that do not know when the window ends. It does what take.lua does for one
-- policy, in half the time.
--
-- KEYS: the counter. ARGV: units, limit, period in ms; in how many ms the window ends in
--   which they were counted already (0: they were not): another one ends half a period
--   later at least, whatever the clocks do; and what is known to be used if there is no
--   counter, and in how many ms that is over (0, 0: nothing).
-- Reply: what is used, in how many ms it is all free again, and in how many the units
--   can be had (0: they are taken).
local key, limit, per, counted = KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local left = redis.call('PTTL', key)
if left == -2 and ARGV[5] ~= '0' then -- the server has lost it
  left = math.min(tonumber(ARGV[6]), per)
  redis.call('ZINCRBY', key, ARGV[5], 'n')
  redis.call('PEXPIRE', key, left)
end
local used = counted > 0 and left - counted < per / 2 and redis.call('ZSCORE', key, 'n')
used = tonumber(used or redis.call('ZINCRBY', key, ARGV[1], 'n'))
if left < 0 or left > per then -- new, or it would not end in time
  redis.call('PEXPIRE', key, per)
  left = per
end
if used <= limit then return {used, left, 0} end
return {tonumber(redis.call('ZINCRBY', key, -ARGV[1], 'n')), left, math.max(left, 1)}
