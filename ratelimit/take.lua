-- Takes so many units from every policy, or from none where one has too little left.
--
-- KEYS: one for each policy: the only member of a sorted set, since ZADD can count in
--   one without making it, or when all is free, in µs; then, if a request is to be
--   remembered, its own.
-- ARGV: units (0 only looks); for how long the request is remembered, in ms, 0 for
--   not at all; "1" to count what is denied too; then seven for each policy:
--     kind ("w" a window, "g" GCRA), limit, period (w: ms, g: µs), burst,
--     what is known to be used already, in how many ms that is over (0, 0: nothing),
--     and "1" if it holds whatever the server has, else only if it has no counter.
-- Reply: for each policy what is used, in how many ms it is all free again, and in how
--   many the units can be had; where each of the last is 0 they are taken.
local cost, keep, always = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local n = (#ARGV - 3) / 7
local known = keep > 0 and redis.call('EXISTS', KEYS[n + 1]) == 1
if known then cost = 0 end -- it has been counted
local reply, ok, now, tats, begun = {}, true, nil, {}, {}

for i = 1, n do
  local a, key = 7 * i - 3, KEYS[i]
  local limit, per, floor, left = tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]), tonumber(ARGV[a + 4]), tonumber(ARGV[a + 5])
  local retry = 0
  if ARGV[a] == 'w' then
    local used
    if cost > 0 or floor > 0 then
      used = tonumber(redis.call('ZINCRBY', key, cost, 'n'))
    else
      used = tonumber(redis.call('ZSCORE', key, 'n') or 0)
    end
    local reset = redis.call('PTTL', key)
    begun[i] = reset == -1 and used == cost
    if used - cost < floor and (begun[i] or ARGV[a + 6] == '1') then
      used = tonumber(redis.call('ZINCRBY', key, floor + cost - used, 'n'))
    end
    if reset == -1 or reset > per then -- new, or it would not end in time
      reset = (floor > 0 and left > 0) and math.min(left, per) or per
      if used > 0 then redis.call('PEXPIRE', key, reset) end
    end
    reset = used > 0 and math.max(reset, 0) or 0
    if used > limit and cost > 0 then ok, retry = false, math.max(reset, 1) end
    reply[3 * i - 2], reply[3 * i - 1] = used, reset
  else
    if not now then
      local t = redis.call('TIME')
      now = t[1] * 1000000 + t[2]
    end
    local step, room = per / limit, tonumber(ARGV[a + 3]) * per / limit
    local tat = math.max(tonumber(redis.call('GET', key) or 0), now)
    if floor > 0 then tat = math.max(tat, now + left * 1000) end
    tat = math.ceil(math.min(tat, now + room)) -- beyond is another server's clock, or an older policy
    local new = math.ceil(tat + cost * step)
    if cost > 0 and new > now + room + 1 then -- 1: what rounding up has added
      ok, retry = false, math.ceil((new - now - room) / 1000)
    end
    tats[i] = {step, tat, new, floor > 0}
  end
  reply[3 * i] = retry
end

for i, t in pairs(tats) do
  local tat = ok and t[3] or t[2]
  local ms = math.ceil((tat - now) / 1000)
  if ms > 0 and (ok and cost > 0 or t[4]) then
    redis.call('SET', KEYS[i], tat, 'PX', ms)
  end
  reply[3 * i - 2], reply[3 * i - 1] = math.ceil((tat - now) / t[1] - 0.001), ms
end
if ok then
  if keep > 0 and cost > 0 then redis.call('SET', KEYS[n + 1], 1, 'PX', keep) end
  return reply
end

if always or cost == 0 then return reply end
for i = 1, n do
  if not tats[i] then -- given back
    local used = reply[3 * i - 2] - cost
    if begun[i] and used == 0 then redis.call('DEL', KEYS[i]) else redis.call('ZINCRBY', KEYS[i], -cost, 'n') end
    reply[3 * i - 2] = used
  end
end
return reply
