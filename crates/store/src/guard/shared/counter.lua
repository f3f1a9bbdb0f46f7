-- Claims a counter of a session: a window of 4,096 that slides. A counter is a page and
-- a place in it (each number of a script is a double, and has 53 bits). What is kept of
-- a session is the bits of two pages, even and odd, and behind them the highest counter.
-- KEYS  1 the generation's id, 2 the session, 3 the sessions of its key,
--       4 and 5 the tombstones of device and actor
-- ARGV  1 the id, 2 what the clock should show, 3 how long the session is kept, 4 how
--       many sessions there may be, 5 when it ends, 6 what the verifier's clock shows, 7
--       the sequence of the directory, 8 page, 9 place
-- Gives 0 fresh, 1 used, 2 too many, 3 another generation, 4 another time, 5 revoked.
local page, place = tonumber(ARGV[8]), tonumber(ARGV[9])
local highest = string.format('%016d:%04d', page, place)
local bit = page % 2 * 4096 + place
local known = redis.call('GETRANGE', KEYS[2], 1024, -1)
if known == '' then
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', '(' .. ARGV[6])
  if redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[4]) then
    return 2
  end
  redis.call('ZADD', KEYS[3], ARGV[5], KEYS[2])
  if redis.call('PTTL', KEYS[3]) < tonumber(ARGV[3]) then
    redis.call('PEXPIRE', KEYS[3], ARGV[3])
  end
  redis.call('SETRANGE', KEYS[2], 1024, highest)
  redis.call('SETBIT', KEYS[2], bit, 1)
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
  return 0
end
local high_page, high_place = string.match(known, '^(%d+):(%d+)$')
high_page, high_place = tonumber(high_page), tonumber(high_place)
if page > high_page or page == high_page and place > high_place then
  local empty = string.rep('\0', 512)
  if page > high_page then
    redis.call('SETRANGE', KEYS[2], page % 2 * 512, empty)
  end
  if page > high_page + 1 then
    redis.call('SETRANGE', KEYS[2], (page + 1) % 2 * 512, empty)
  end
  redis.call('SETRANGE', KEYS[2], 1024, highest)
elseif (high_page - page) * 4096 + high_place - place >= 4096 then
  return 1
end
return redis.call('SETBIT', KEYS[2], bit, 1)
