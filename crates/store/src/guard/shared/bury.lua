-- Puts tombstones up: claims that go by an earlier state of the directory are refused.
-- KEYS  1 the generation's id, then one for each device and actor
-- ARGV  1 the id, 2 the sequence of the directory, 3 how long they are kept
-- Gives 0, or 3 for another generation.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 3
end
for at = 2, #KEYS do
  local held = redis.call('GET', KEYS[at])
  if not held or tonumber(held) < tonumber(ARGV[2]) then
    redis.call('SET', KEYS[at], ARGV[2], 'PX', ARGV[3])
  end
end
return 0
