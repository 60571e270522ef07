-- Spreads the last values of a topic over more pages.
--   KEYS[3] and on: all pages that there are to be
--   ARGV: pages that there are, name of a new line, keep (ms), side
local wrong = absent(ARGV[4])
if wrong then
  return redis.error_reply(wrong)
end
local from, keep, pages = tonumber(ARGV[1]), ARGV[3], #KEYS - 2
local t = open(KEYS[1], (server()), ARGV[2], keep)
if t.pages ~= from then -- another process has done it
  return 0
end
for i = 3, #KEYS do
  own(t, KEYS[i], keep)
end
for i = 0, from - 1 do
  local all = redis.call('HGETALL', KEYS[3 + i])
  for j = 1, #all, 2 do
    local name = string.match(all[j], '^v:(.*)$')
    local at = name and tonumber(string.sub(redis.sha1hex(name), 1, 4), 16) % pages or i
    if at ~= i then
      redis.call('HSET', KEYS[3 + at], all[j], all[j + 1])
      redis.call('HDEL', KEYS[3 + i], all[j])
    end
  end
end
redis.call('HSET', KEYS[1], 'p', pages)
for i = 1, #KEYS do
  if i ~= 2 then
    redis.call('PEXPIRE', KEYS[i], keep)
  end
end
return 1
