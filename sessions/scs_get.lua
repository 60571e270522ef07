-- Reads a session of scs where it is certainly known: no client sends a script to a
-- replica.
--
-- KEYS[1] session
-- Returns what GET would, and an empty text for a tombstone.
local v = redis.pcall('GET', KEYS[1])
if type(v) == 'table' then
  return ''
end
return v
