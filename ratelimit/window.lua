-- Takes so many units from one window, or none if it has too little left: what most
-- calls are. It does what take.lua does for one policy, in half the time.
--
-- KEYS: the counter. ARGV: units, limit, period in ms; and anything if who asks knows
--   already when the window ends.
-- Reply: what is used, in how many ms it is all free again (-1: as who asks knows), and
--   in how many the units can be had (0: they are taken).
local used, limit = redis.call('INCRBY', KEYS[1], ARGV[1]), tonumber(ARGV[2])
if ARGV[4] and used <= limit and used > tonumber(ARGV[1]) then return {used, -1, 0} end
local reset, per = redis.call('PTTL', KEYS[1]), tonumber(ARGV[3])
if reset < 0 or reset > per then -- new, or it would not end in time
  redis.call('PEXPIRE', KEYS[1], per)
  reset = per
end
if used <= limit then return {used, reset, 0} end
used = redis.call('DECRBY', KEYS[1], ARGV[1])
if used <= 0 then redis.call('DEL', KEYS[1]) end
return {used, reset, math.max(reset, 1)}
