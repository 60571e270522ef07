-- Gives units back to every policy, down to nothing used. A window of which nothing is
-- used begins anew, and stays: one that is not there was lost by the server.
--
-- KEYS: one for each policy; then the request's whose units they are, if it has one:
--   it is refunded once, and only if it was counted.
-- ARGV: units; then three for each policy: kind, limit, period (see take.lua).
-- Reply: 1 if given back, else 0.
local cost, n = tonumber(ARGV[1]), (#ARGV - 1) / 3
if #KEYS > n and redis.call('DEL', KEYS[n + 1]) == 0 then return {0} end
local now
for i = 1, n do
  local a, key = 3 * i - 1, KEYS[i]
  local window = ARGV[a] == 'w'
  local has = tonumber((window and redis.call('ZSCORE', key, 'n') or not window and redis.call('GET', key)) or 0)
  if has > 0 and window then
    redis.call('ZINCRBY', key, -math.min(has, cost), 'n')
    if has <= cost then redis.call('PEXPIRE', key, ARGV[a + 2]) end
  elseif has > 0 then
    if not now then
      local t = redis.call('TIME')
      now = t[1] * 1000000 + t[2]
    end
    local tat = math.ceil(has - cost * tonumber(ARGV[a + 2]) / tonumber(ARGV[a + 1]))
    if tat > now then
      redis.call('SET', key, tat, 'PX', math.ceil((tat - now) / 1000))
    else
      redis.call('DEL', key)
    end
  end
end
return {1}
