-- Takes so many units from one window, or none if it has too little left: what most
-- calls are that do not know when the window ends. It does what take.lua does for one
-- policy, in half the time.
--
-- KEYS: the counter. ARGV: units, limit, period in ms; and, if they were counted
--   already, in how many ms the window ends in which they were: another one ends half
--   a period later at least, whatever the clocks do.
-- Reply: what is used, in how many ms it is all free again, and in how many the units
--   can be had (0: they are taken).
local key, limit, per = KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local left = redis.call('PTTL', key)
local used = ARGV[4] and left - ARGV[4] < per / 2 and redis.call('ZSCORE', key, 'n')
used = tonumber(used or redis.call('ZINCRBY', key, ARGV[1], 'n'))
if left < 0 or left > per then -- new, or it would not end in time
  redis.call('PEXPIRE', key, per)
  left = per
end
if used <= limit then return {used, left, 0} end
used = tonumber(redis.call('ZINCRBY', key, -ARGV[1], 'n'))
if used <= 0 then redis.call('DEL', key) end
return {used, left, math.max(left, 1)}
