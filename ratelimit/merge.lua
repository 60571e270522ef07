-- Tells Redis what was granted without it: the larger of what it has and what was
-- known to be used, and what was granted on top.
--
-- KEYS: one for each policy, then the merge's own: a merge counts once.
-- ARGV: for how long the merge is remembered, in ms; then seven for each policy: the
--   first six of take.lua, and what was granted.
-- Reply: for each policy what is used, and in how many ms it is all free again.
local n = (#ARGV - 1) / 7
local first = redis.call('SET', KEYS[n + 1], 1, 'NX', 'PX', ARGV[1])
local t = redis.call('TIME')
local now, reply = t[1] * 1000000 + t[2], {}
for i = 1, n do
  local a, key = 7 * i - 5, KEYS[i]
  local limit, per, burst = tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])
  local floor, left, owed = tonumber(ARGV[a + 4]), tonumber(ARGV[a + 5]), tonumber(ARGV[a + 6])
  if not first then owed = 0 end
  if ARGV[a] == 'w' then
    local has = tonumber(redis.call('ZSCORE', key, 'n') or 0)
    local used = math.max(has, floor) + owed
    if used > has then redis.call('ZINCRBY', key, used - has, 'n') end
    local reset = redis.call('PTTL', key)
    if reset == -1 or reset > per then
      reset = left > 0 and math.min(left, per) or per
      redis.call('PEXPIRE', key, reset)
    end
    reply[2 * i - 1], reply[2 * i] = used, math.max(reset, 0)
  else
    local step = per / limit
    local tat = math.max(tonumber(redis.call('GET', key) or 0), now)
    if floor > 0 then tat = math.max(tat, now + left * 1000) end
    tat = math.ceil(math.min(tat + owed * step, now + burst * step))
    local ms = math.ceil((tat - now) / 1000)
    if ms > 0 then redis.call('SET', key, tat, 'PX', ms) end
    reply[2 * i - 1], reply[2 * i] = math.ceil((tat - now) / step - 0.001), ms
  end
end
return reply
