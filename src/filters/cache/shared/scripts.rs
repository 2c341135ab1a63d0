//! What is done there in one step.

/// Puts an answer (KEYS: count, place; ARGV: the count that is known, field, record, how long it is kept) if nothing has become old meanwhile.
pub const PUT: &str = "
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1";

/// Counts a purge (KEYS: count, purges, places that it empties; ARGV: where counting begins, what was purged), and remembers it.
pub const PURGE: &str = "
local count = string.format('%.0f', tonumber(redis.call('GET', KEYS[1]) or ARGV[1]) + 1)
redis.call('SET', KEYS[1], count)
redis.call('RPUSH', KEYS[2], count .. ' ' .. ARGV[2])
redis.call('LTRIM', KEYS[2], -512, -1)
for index = 3, #KEYS do redis.call('DEL', KEYS[index]) end
return count";
