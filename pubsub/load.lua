-- Reads what a topic keeps. What has not been renewed for as long as it is kept is
-- removed: a key has an expiry, its fields have none.
--   ARGV: kind (as in publish.lua), name of a new line, keep (ms), number after which
--         history is wanted, side
--   KEYS[3] and on: all pages of last values
-- Returns epoch, number, run id, earlier lines, oldest number kept, and the messages.
local kind, keep, after = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local wrong = absent(ARGV[5])
if wrong then
  return wrong
end
local key = KEYS[1]
local run = server()
local t = open(run, ARGV[2], ARGV[3])
wrong = kind == 'l' and paged(t, #KEYS - 2)
if wrong then
  return wrong
end
local reply = { t.epoch, t.seq, run, t.past, t.oldest }
if kind == 'l' then
  local since, count = clock() - keep, 0
  for i = 3, #KEYS do
    local all = redis.call('HGETALL', KEYS[i])
    local mine = redis.call('HGET', KEYS[i], 'f') == t.first
    for j = 1, mine and #all or 0, 2 do
      if string.sub(all[j], 1, 2) ~= 'v:' then
        -- says whose page it is
      elseif tonumber(string.match(all[j + 1], '^m %a %w+ %d+ (%d+)')) < since then
        redis.call('HDEL', KEYS[i], all[j])
      else
        count = count + 1
        reply[#reply + 1] = all[j + 1]
      end
    end
  end
  if count ~= t.count then -- a page has had its time
    redis.call('HSET', key, 'c', count)
  end
elseif kind == 'r' then
  for n = math.max(t.oldest, after + 1), t.seq do
    reply[#reply + 1] = redis.call('HGET', key, 'h:' .. int(n))
  end
end
return reply
