-- Gives a message its number, keeps what its topic keeps, and publishes it: once,
-- however often it is sent.
--   ARGV: channel, topic, kind (l: last values, d: the same, removes a key, r: history,
--         v: nothing is kept), key, data, id, name of a new line, keep (ms), history
--         (messages), history (bytes), keys at most, ms since it was first sent, pages of
--         last values, side
--   KEYS[3]: of last values, the page of the key
-- Returns status, epoch, number, run id, frame, and 1 if there should be more pages.
-- Status: 1 published, 2 it had been before, 3 unknown: too many others were since, 4 too
-- many keys. 3 and 4 change nothing.
local channel, topic, kind, name, data, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local keep, most, bytes, keys, waited = ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local ring = 32

local wrong = absent(ARGV[14])
if wrong then
  return redis.error_reply(wrong)
end
local key = KEYS[1]
local run, cluster = server()
local now = clock()
local before = redis.call('HGET', key, 'i:' .. id)
if before then
  return { 2, redis.call('HGET', key, 'e'), tonumber(string.match(before, '(%d+)$')), run, '', 0 }
end
local t = open(key, run, ARGV[7], keep)
wrong = KEYS[3] and unlike(t, tonumber(ARGV[13]))
if wrong then
  return redis.error_reply(wrong)
end
local slot = 'n:' .. int((t.seq + 1) % ring)
local old = redis.call('HGET', key, slot)
if waited > 0 and old then
  local at = string.match(redis.call('HGET', key, 'i:' .. old) or '', '^(%d+)')
  if not at or tonumber(at) >= now - waited then
    return { 3, t.epoch, t.seq, run, '', 0 }
  end
end
local page, known = KEYS[3], false
if page then
  own(t, page, keep)
  known = redis.call('HEXISTS', page, 'v:' .. name) == 1
  if kind == 'l' and not known and t.count >= keys then
    return { 4, t.epoch, t.seq, run, '', 0 }
  end
end

local seq = t.seq + 1
local frame = 'm ' .. kind .. ' ' .. t.epoch .. ' ' .. int(seq) .. ' ' .. int(now) .. ' ' .. #topic .. ' ' .. #name .. '\n' .. topic .. name .. data
if old then
  redis.call('HDEL', key, 'i:' .. old)
end
redis.call('HSET', key, 's', int(seq), slot, id, 'i:' .. id, int(now) .. ' ' .. int(seq))
if kind == 'l' then
  redis.call('HSET', page, 'v:' .. name, frame)
  redis.call('PEXPIRE', page, keep)
  if not known then
    t.count = redis.call('HINCRBY', key, 'c', 1)
  end
elseif known then
  redis.call('HDEL', page, 'v:' .. name)
  redis.call('HINCRBY', key, 'c', -1)
elseif kind == 'r' then
  local total, oldest = t.bytes + #frame, t.oldest
  while oldest < seq and (seq - oldest >= most or total > bytes) do
    total = total - redis.call('HSTRLEN', key, 'h:' .. int(oldest))
    redis.call('HDEL', key, 'h:' .. int(oldest))
    oldest = oldest + 1
  end
  redis.call('HSET', key, 'h:' .. int(seq), frame, 'o', int(oldest), 'b', int(total))
end
redis.call('PEXPIRE', key, keep)
publish(cluster, channel, frame)
return { 1, t.epoch, seq, run, frame, t.count > 64 * t.pages and t.pages < 256 and 1 or 0 }
