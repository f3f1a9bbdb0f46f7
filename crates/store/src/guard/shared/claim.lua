-- How each claim begins: whether it is of this generation, at this time, and by somebody
-- who is not revoked. What follows is of the same script, so nothing comes between.
-- KEYS  1 the generation's id, 4 and 5 the tombstones of device and actor, if any
-- ARGV  1 the id, 2 what the clock should show, 7 the sequence of the directory
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 3
end
local clock = redis.call('TIME')
if math.abs(clock[1] * 1000 + clock[2] / 1000 - ARGV[2]) > 5000 then
  return 4
end
if KEYS[4] then
  for _, sequence in ipairs(redis.call('MGET', KEYS[4], KEYS[5])) do
    if sequence and tonumber(sequence) > tonumber(ARGV[7]) then
      return 5
    end
  end
end
