-- Reads what kind of value a key holds, how long it is, when it expires and
-- how large it is, in one step. ARGV: whether PEXPIRETIME is there.
local call, pcall = redis.call, redis.pcall
local length = { string = 'STRLEN', hash = 'HLEN', set = 'SCARD', zset = 'ZCARD', list = 'LLEN', stream = 'XLEN' }
local key = KEYS[1]
local kind = call('TYPE', key).ok
if kind == 'none' then return { kind, 0, -2, 0 } end
local at
if ARGV[1] == '1' then
  at = call('PEXPIRETIME', key)
else
  at = call('PTTL', key)
  if at >= 0 then
    local time = call('TIME')
    at = time[1] * 1000 + math.floor(time[2] / 1000) + at
  end
end
local size = pcall('MEMORY', 'USAGE', key)
if type(size) ~= 'number' then size = 0 end
return { kind, length[kind] and call(length[kind], key) or 0, at, size }
