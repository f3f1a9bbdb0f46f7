-- Claims a nonce.
-- KEYS  1 the generation's id, 2 the nonce, 3 how many there are of its key,
--       and of a key of the directory: 4 and 5 the tombstones of device and actor
-- ARGV  1 the id, 2 what the clock should show, 3 how long the nonce is kept, 4 how many
--       there may be, 5 the span of now, 6 how long the numbers are kept, 7 the sequence
--       of the directory
-- Gives 0 fresh, 1 used, 2 too many, 3 another generation, 4 another time, 5 revoked.
if not redis.call('SET', KEYS[2], 1, 'NX', 'PX', ARGV[3]) then
  return 1
end
local span = tonumber(ARGV[5])
local held = 0
for _, count in ipairs(redis.call('HMGET', KEYS[3], span - 4, span - 3, span - 2, span - 1, span)) do
  held = held + (tonumber(count) or 0)
end
if held >= tonumber(ARGV[4]) then
  redis.call('DEL', KEYS[2])
  return 2
end
if redis.call('HINCRBY', KEYS[3], span, 1) == 1 then
  redis.call('PEXPIRE', KEYS[3], ARGV[6])
  for _, other in ipairs(redis.call('HKEYS', KEYS[3])) do
    if tonumber(other) < span - 4 then
      redis.call('HDEL', KEYS[3], other)
    end
  end
end
return 0
