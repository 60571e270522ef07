-- Runs commands on one key, or on a temporary key and the key that it becomes,
-- in one step. ARGV: for each command the number of its words, then those. A
-- negative number marks one that the server need not know.
local i = 1
while i <= #ARGV do
  local n = tonumber(ARGV[i])
  local run = redis.call
  if n < 0 then
    n, run = -n, redis.pcall
  end
  run(unpack(ARGV, i + 1, i + n))
  i = i + n + 1
end
return #ARGV
