-- Reads the DUMP payload and the absolute expiry of each key in one step.
-- ARGV: the size beyond which a key is large, the room for all payloads of
-- this call, whether PEXPIRETIME is there.
-- Returns payload, expiry for each key. In place of an expiry:
-- -1 none, -2 no key, -3 a large key, -4 no room left (both with the size),
-- -5 no payload to be had. Last comes the server's time in milliseconds.
local large, room, expiretime = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local call, pcall, out = redis.call, redis.pcall, {}
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function expiry(key)
  if expiretime then return call('PEXPIRETIME', key) end
  local left = call('PTTL', key)
  if left < 0 then return left end
  return now + left
end

for i = 1, #KEYS do
  local key, payload, at = KEYS[i], false, -2
  local size = call('MEMORY', 'USAGE', key)
  if size then
    if size > large then
      payload, at = size, -3
    elseif size > room then
      payload, at = size, -4
    else
      room = room - size
      payload = pcall('DUMP', key)
      if type(payload) == 'table' then
        payload, at = false, -5
      elseif payload then
        at = expiry(key)
      end
    end
  end
  out[2 * i - 1], out[2 * i] = payload, at
end
out[2 * #KEYS + 1] = now
return out
