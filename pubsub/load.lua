-- Reads what a topic keeps. What has not been renewed for as long as it is kept is
-- removed: a key has an expiry, its fields have none.
--   ARGV: kind (as in publish.lua), name of a new line, keep (ms), number after which
--         history is wanted, side
-- Returns epoch, number, run id, earlier lines, oldest number kept, and the messages.
local kind, keep, after = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local wrong = absent(ARGV[5])
if wrong then
  return wrong
end
local key = KEYS[1]
local run = server()
local t = open(run, ARGV[2], ARGV[3])
local reply = { t.epoch, t.seq, run, t.past, t.oldest }
if kind == 'l' then
  local since = clock() - keep
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == 'v:' then
      if tonumber(string.match(all[i + 1], '^m %a %w+ %d+ (%d+)')) < since then
        redis.call('HDEL', key, all[i])
      else
        reply[#reply + 1] = all[i + 1]
      end
    end
  end
elseif kind == 'r' then
  for n = math.max(t.oldest, after + 1), t.seq do
    reply[#reply + 1] = redis.call('HGET', key, 'h:' .. int(n))
  end
end
return reply
