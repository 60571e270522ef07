-- Reads what topics of one partition keep. What has not been renewed for as long as it
-- is kept is removed: a key has an expiry, its fields have none.
--   ARGV: bytes after which no further topic is read; of each topic its kind (as in
--         publish.lua), name of a new line, keep (ms), number after which history is
--         wanted, pages of last values; side
--   KEYS[3] and on: all pages of the first topic; of each other its head and all pages
-- Returns of each topic that was read epoch, number, run id, earlier lines, oldest number
-- kept, and the messages; or why it cannot be read now. Of one topic alone that is an
-- error.
local wrong, move = elsewhere(ARGV[#ARGV])
if wrong then
  return redis.error_reply(wrong)
end
local run, most = server(), tonumber(ARGV[1])
local bytes, at = 0, 3 -- read so far, place of the next key

local function add(list, frame)
  bytes = bytes + #frame
  list[#list + 1] = frame
end

local function lastValues(list, t, head, pages, keep)
  local since, count = clock() - keep, 0
  for i = at, at + pages - 1 do
    local all = redis.call('HGETALL', KEYS[i])
    local mine = redis.call('HGET', KEYS[i], 'f') == t.first
    for j = 1, mine and #all or 0, 2 do
      if string.sub(all[j], 1, 2) ~= 'v:' then
        -- says whose page it is
      elseif tonumber(string.match(all[j + 1], '^m %a %w+ %d+ (%d+)')) < since then
        redis.call('HDEL', KEYS[i], all[j])
      else
        count = count + 1
        add(list, all[j + 1])
      end
    end
  end
  if count ~= t.count then -- a page has had its time
    redis.call('HSET', head, 'c', count)
  end
end

local function topic(kind, head, epoch, keep, after, pages)
  local why = unfetched(head, move)
  if why then
    return why
  end
  local t = open(head, run, epoch, keep)
  why = kind == 'l' and unlike(t, pages)
  if why then
    return why
  end
  local list = { t.epoch, t.seq, run, t.past, t.oldest }
  if kind == 'l' then
    lastValues(list, t, head, pages, keep)
  elseif kind == 'r' then
    for n = math.max(t.oldest, after + 1), t.seq do
      add(list, redis.call('HGET', head, 'h:' .. int(n)) or '')
    end
  end
  return list
end

local reply = {}
for i = 2, #ARGV - 1, 5 do
  local head, pages = KEYS[1], tonumber(ARGV[i + 4])
  if i > 2 then
    head, at = KEYS[at], at + 1
  end
  reply[#reply + 1] = topic(ARGV[i], head, ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), pages)
  at = at + pages
  if bytes > most then
    break
  end
end
if #ARGV == 7 and type(reply[1]) == 'string' then
  return redis.error_reply(reply[1])
end
return reply
