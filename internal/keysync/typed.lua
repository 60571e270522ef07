-- Reads the value, by type, and the absolute expiry of each key in one step.
-- ARGV as in dump.lua, and the number of elements beyond which a key is large;
-- with 0 for the size no key is.
-- Returns for each key {type, expiry, …}: the elements as their own command
-- replies; for type 'large' and 'later' the size in place of the expiry. Last
-- comes the server's time in milliseconds.
local large, room, expiretime, most = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1', tonumber(ARGV[4])
local call, pcall, out = redis.call, redis.pcall, {}
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function expiry(key)
  if expiretime then return call('PEXPIRETIME', key) end
  local left = call('PTTL', key)
  if left < 0 then return left end
  return now + left
end

local length = { hash = 'HLEN', set = 'SCARD', zset = 'ZCARD', list = 'LLEN', stream = 'XLEN' }

-- Where XINFO STREAM … FULL is not to be had, the same is put together; then
-- the time of a delivery is known from how long ago it was.
local function stream(key)
  local full = pcall('XINFO', 'STREAM', key, 'FULL', 'COUNT', 0)
  if not full.err and #full > 6 then return { 'full', full } end
  local groups = call('XINFO', 'GROUPS', key)
  local parts = {}
  for i, group in ipairs(groups) do
    local name
    for j = 1, #group, 2 do
      if group[j] == 'name' then name = group[j + 1] end
    end
    parts[i] = { group, call('XINFO', 'CONSUMERS', key, name),
      call('XPENDING', key, name, '-', '+', 1000000) }
  end
  return { 'parts', call('XINFO', 'STREAM', key), call('XRANGE', key, '-', '+'),
    parts, now }
end

local read = {
  string = function(key) return call('GET', key) end,
  hash = function(key) return call('HGETALL', key) end,
  set = function(key) return call('SMEMBERS', key) end,
  zset = function(key) return call('ZRANGE', key, 0, -1, 'WITHSCORES') end,
  list = function(key) return call('LRANGE', key, 0, -1) end,
  stream = stream,
}

for i = 1, #KEYS do
  local key, size = KEYS[i], 0
  local kind = call('TYPE', key).ok
  if kind ~= 'none' and large > 0 then
    size = pcall('MEMORY', 'USAGE', key)
    if type(size) ~= 'number' then size = 0 end
    if size <= large and length[kind] and call(length[kind], key) > most then size = large + 1 end
  end
  if kind == 'none' then
    out[i] = { kind, -2 }
  elseif large > 0 and size > large then
    out[i] = { 'large', size }
  elseif large > 0 and size > room then
    out[i] = { 'later', size }
  elseif read[kind] then
    room = room - size
    out[i] = { kind, expiry(key), read[kind](key) }
  else
    out[i] = { kind, expiry(key) }
  end
end
out[#KEYS + 1] = now
return out
