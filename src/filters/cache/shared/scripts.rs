//! What is done there in one step.

/// Puts an answer (KEYS: count, place; ARGV: the count that is known, field, record, how long it is kept, how many a target has at most) if
/// nothing has become old meanwhile. Where there is no room for one more, it is begun anew; what is there is kept as long as it was to be.
pub const PUT: &str = "
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
local is_new = redis.call('HEXISTS', KEYS[2], ARGV[2]) == 0
if is_new and redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[5]) then redis.call('DEL', KEYS[2]) end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[4]) then redis.call('PEXPIRE', KEYS[2], ARGV[4]) end
return 1";

/// Counts purges (KEYS: count, purges, places that they empty; ARGV: where counting begins, how many are remembered, what was purged each
/// time), and remembers them.
pub const PURGE: &str = "
local count = tonumber(redis.call('GET', KEYS[1]) or ARGV[1])
for index = 3, #ARGV do
  count = count + 1
  redis.call('RPUSH', KEYS[2], string.format('%.0f', count) .. ' ' .. ARGV[index])
end
redis.call('SET', KEYS[1], string.format('%.0f', count))
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[2]), -1)
for index = 3, #KEYS do redis.call('DEL', KEYS[index]) end
return 1";

/// The count, and what was purged since another one (KEYS: count, purges; ARGV: where counting begins, what is known, how many are
/// remembered), or all that is remembered. Where it was flushed, or is new, counting begins at a number that nobody has seen.
pub const HEAR: &str = "
redis.call('SET', KEYS[1], ARGV[1], 'NX')
local count = redis.call('GET', KEYS[1])
if count == ARGV[2] then return {count, {}} end
local new, most = tonumber(count) - tonumber(ARGV[2]), tonumber(ARGV[3])
if new < 1 or new > most then new = most end
return {count, redis.call('LRANGE', KEYS[2], -new, -1)}";
