-- Tries every command of the script once on keys that are gone afterwards; answers with those that are not allowed.
-- Owns the list of commands; a test compares it with what the scripts call.
local hash, list, set, channel, missing = KEYS[1], KEYS[2], KEYS[3], KEYS[4], {}
local function try(command, ...)
  local answer = redis.pcall(command, ...)
  local problem = type(answer) == 'table' and answer.err
  if problem and (string.find(problem, 'NOPERM', 1, true) or string.find(problem, 'ACL failure', 1, true)
      or string.find(problem, 'The user executing the script', 1, true)) then
    missing[#missing + 1] = command
  end
end
try('TIME')
try('INFO', 'replication')
try('HSET', hash, 'f', 'v')
try('HGET', hash, 'f')
try('HMGET', hash, 'f')
try('HDEL', hash, 'f')
try('RPUSH', list, 'v')
try('LLEN', list)
try('LRANGE', list, 0, 0)
try('LTRIM', list, 1, 0)
try('ZADD', set, 0, 'm')
try('ZLEXCOUNT', set, '-', '+')
try('ZRANGE', set, 0, 0)
try('ZRANGEBYLEX', set, '-', '+', 'LIMIT', 0, 1)
try('ZRANGEBYSCORE', set, '-inf', '+inf', 'LIMIT', 0, 1)
try('ZREM', set, 'm')
try('$publish', channel, '')
return missing
