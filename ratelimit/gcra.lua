-- Takes so many units by GCRA, or none if there are too few: it does what take.lua
-- does for one policy, in half the time.
--
-- KEYS: when all is free, in µs. ARGV: units, limit, period in µs, burst.
-- Reply: as of window.lua.
local t, ceil = redis.call('TIME'), math.ceil
local now, step = t[1] * 1000000 + t[2], ARGV[3] / ARGV[2]
local full, tat = now + ARGV[4] * step, redis.call('GET', KEYS[1])
tat = tat and ceil(math.max(now, math.min(tat, full))) or now
local new = ceil(tat + ARGV[1] * step)
if new <= full + 1 then -- 1: what rounding up has added
  local ms = ceil((new - now) / 1000)
  redis.call('SET', KEYS[1], new, 'PX', ms)
  return {ceil((new - now) / step - 0.001), ms, 0}
end
return {ceil((tat - now) / step - 0.001), ceil((tat - now) / 1000), ceil((new - full) / 1000)}
