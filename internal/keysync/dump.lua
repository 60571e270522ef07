-- Reads the DUMP payload and the absolute expiry of each key in one step.
-- ARGV: the size beyond which a key is large, the room for all payloads of
-- this call, whether PEXPIRETIME is there.
-- Returns payload, expiry for each key. In place of an expiry:
-- -1 none, -2 no key, -3 a large key, -4 no room left (both with the size),
-- -5 no payload to be had. Last comes the server's time in milliseconds, if
-- a key has an expiry. Written for speed: this is what a backfill costs.
local large, room, exact = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local call, now = redis.call, 0
local out, n = {}, 0

for i = 1, #KEYS do
  local key, at = KEYS[i], -2
  local payload = call('MEMORY', 'USAGE', key)
  if payload then
    if payload > large then
      at = -3
    elseif payload > room then
      at = -4
    else
      room = room - payload
      payload = redis.pcall('DUMP', key)
      if payload then
        at = call(exact and 'PEXPIRETIME' or 'PTTL', key)
        if at >= 0 then
          if now == 0 then
            local time = call('TIME')
            now = time[1] * 1000 + math.floor(time[2] / 1000)
          end
          if not exact then at = at + now end
        end
        if type(payload) == 'table' then
          payload, at = false, -5
        end
      end
    end
  end
  out[n + 1], out[n + 2] = payload, at
  n = n + 2
end
out[n + 1] = now
return out
