-- A write for WAIT to wait for: it covers every message that was numbered before it by
-- the same server. Returns that server's run id and how many replicas it has.
redis.call('SET', KEYS[1], '1', 'PX', 60000)
local info = redis.pcall('INFO', 'replication')
local replicas = type(info) == 'string' and string.match(info, 'connected_slaves:(%d+)') or '0'
return { (server()), tonumber(replicas) }
