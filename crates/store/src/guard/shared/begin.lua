-- The generation of the guard's memory: the one that there is, if this very process of
-- the server has kept it, else a new one.
-- KEYS  1 its id, 2 what belongs to it
-- ARGV  1 the server's run id, 2 and 3 id and key for a new one, 4 one that must not go
--       on (or '*' for any), 5 '1' if nothing can have been used before
-- Gives id, key, start in milliseconds of the server's clock, and what that shows now.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local id = redis.call('GET', KEYS[1])
local about = redis.call('HMGET', KEYS[2], 'id', 'run', 'key', 'start')
local whole = id and id == about[1] and about[2] == ARGV[1] and about[3] and about[4]
if whole and ARGV[4] ~= id and ARGV[4] ~= '*' then
  return {id, about[3], about[4], now}
end
local start = string.format('%d', now)
if ARGV[5] == '1' and not id and not about[1] then
  start = '0'
end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'id', ARGV[2], 'run', ARGV[1], 'key', ARGV[3], 'start', start)
redis.call('SET', KEYS[1], ARGV[2])
return {ARGV[2], ARGV[3], start, now}
