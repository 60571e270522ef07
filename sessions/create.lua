-- Makes a session, unless it was made before (by this very call: a reply may be
-- lost) or has been revoked already.
--
-- KEYS[1] session
-- ARGV    creation and end, idle time in ms, user, values, nonce, version. The
--         first two are times in ms, or begin with + or - and count from now.
-- Returns 1 with the times of creation and end in ms; 0 if it was revoked; 2 if
-- another call has made it.
local had = redis.call('HMGET', KEYS[1], 'n', 'x', 'c', 'a')
if had[2] then
  return {0}
end
if had[1] == ARGV[6] then
  return {1, had[3], had[4]}
end
if had[4] then
  return {2}
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function at(v)
  local sign, n = v:sub(1, 1), v:sub(2)
  if sign == '+' then
    return now + n
  end
  if sign == '-' then
    return now - n
  end
  return tonumber(v)
end
local function ms(n) return string.format('%.0f', n) end
local created, ends = at(ARGV[1]), at(ARGV[2])
redis.call('HSET', KEYS[1], 'u', ARGV[4], 'd', ARGV[5], 'n', ARGV[6], 'v', ARGV[7], 'c', ms(created), 'a', ms(ends))
redis.call('PEXPIREAT', KEYS[1], ms(math.min(ends, now + ARGV[3])))
return {1, ms(created), ms(ends)}
