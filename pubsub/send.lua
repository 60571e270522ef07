-- Publishes a frame that has no number, such as a probe: KEYS[1] is never written, and
-- leads to the server on which the messages of its partition are published.
--   ARGV: channel, frame, side
-- Returns the server's run id.
local wrong = elsewhere(ARGV[3])
if wrong then
  return redis.error_reply(wrong)
end
local run, cluster = server()
publish(cluster, ARGV[1], ARGV[2])
return run
