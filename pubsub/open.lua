-- The beginning of each script. The head of a topic, KEYS[1], is a hash, in which
--   e     epoch: the line of messages; another one whenever another server goes on with it
--   s     number of the last message; it only grows, across epochs too
--   r     run id of the server that numbered it
--   l     earlier lines, oldest first: "epoch last-number run-id;" each
--   o, b  oldest message kept and bytes of all that are kept (history alone)
--   h:N   message N as it was published         (history)
--   f     name of the topic's first line
--   p, c  over how many pages last values are spread, 1 if it says nothing; how many keys
--   g     move with which it came to this side of a plain pair
--   n:I   id of the message whose number is I, modulo 32; i:ID its moment and number
-- A page of last values, KEYS[3] and on, is a hash, in which
--   f     as in the head; a page that says otherwise was left by a topic that is gone
--   v:K   last message of the key K: its page is a number of K's, modulo the pages
-- So what a publish changes is small however many keys there are, and a migration
-- copies no more than that.
-- INFO is what tells a promoted replica, or the target of a migration, from the server
-- that wrote r; where it is not allowed, lines never end.

local function server()
  local info = redis.pcall('INFO', 'server')
  if type(info) ~= 'string' then
    return '', false
  end
  return string.match(info, 'run_id:(%w+)') or '', string.match(info, 'redis_mode:(%w+)') == 'cluster'
end

-- elsewhere returns what is wrong if this server does not have the partition. KEYS[2] is
-- "given N" on the side of a plain pair that has given it up with move N, and "open N"
-- on the one that has it. Without a move the first has it, and of one Redis that one.
--   side: 0 of one Redis, 1 and 2 of a pair
local function elsewhere(side)
  local v = redis.call('GET', KEYS[2])
  if v and string.sub(v, 1, 5) == 'given' or not v and side == '2' then
    return 'ELSEWHERE the partition is on the other side'
  end
  return nil, v and side ~= '0' and string.match(v, '%d+')
end

-- unfetched does so if a topic has yet to be fetched from the other side, since a move.
local function unfetched(head, move)
  return move and redis.call('HGET', head, 'g') ~= move and 'IMPORT ' .. move
end

-- absent does both, of the topic of KEYS[1].
local function absent(side)
  local wrong, move = elsewhere(side)
  return wrong or unfetched(KEYS[1], move)
end

local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function int(n)
  return string.format('%.0f', n)
end

-- open returns a topic's state, and begins a line if there is none that this server may go
-- on with. epoch is what a new line would be called.
local function open(key, run, epoch, keep)
  local v = redis.call('HMGET', key, 'e', 's', 'r', 'l', 'o', 'b', 'f', 'p', 'c')
  local t = { epoch = v[1], seq = tonumber(v[2] or 0), past = v[4] or '', oldest = tonumber(v[5] or 1), bytes = tonumber(v[6] or 0),
    first = v[7], pages = tonumber(v[8] or 1), count = tonumber(v[9] or 0) }
  if not t.epoch then
    t.epoch, t.first = epoch, epoch
    redis.call('HSET', key, 'e', epoch, 's', '0', 'r', run, 'f', epoch)
    redis.call('PEXPIRE', key, keep)
  elseif v[3] ~= run then
    t.past = t.past .. t.epoch .. ' ' .. int(t.seq) .. ' ' .. v[3] .. ';'
    while #t.past > 640 do -- some eight lines
      t.past = string.match(t.past, '^[^;]*;(.*)$')
    end
    t.epoch = epoch
    redis.call('HSET', key, 'e', epoch, 'r', run, 'l', t.past)
  end
  return t
end

-- unlike returns what is wrong if last values are spread over other pages than was
-- thought.
local function unlike(t, pages)
  return t.pages ~= pages and 'PAGES ' .. t.pages
end

-- own makes a page the topic's, and empty if it was not.
local function own(t, page, keep)
  if redis.call('HGET', page, 'f') ~= t.first then
    redis.call('DEL', page)
    redis.call('HSET', page, 'f', t.first)
    redis.call('PEXPIRE', page, keep)
  end
end

local function publish(cluster, channel, frame)
  redis.call(cluster and 'SPUBLISH' or 'PUBLISH', channel, frame)
end
