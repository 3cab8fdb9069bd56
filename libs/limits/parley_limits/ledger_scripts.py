"""What Redis runs for buckets and quotas; each script is one round trip, on Redis' own clock.

A place's count is a hash: `t k m` what was spent (turns, tokens, micros), `v` the version of that, `rt rk rm`
what is reserved, `g` the generation it was loaded in. Beside it is a sorted set of open turns by expiry.
"""

_BUCKETS = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local before, after, waits, refused = {}, {}, {}, false
local function ask(count, from)
  for i = 1, count do
    local at = from + 4 * i - 3
    local window, token = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
    local cost, owed = tonumber(ARGV[at + 2]), ARGV[at + 3] == '1'
    local full = tonumber(redis.call('GET', KEYS[i]) or '') or now
    before[i] = math.min(math.max(0, full - now), window)
    after[i] = before[i] + cost * token
    waits[i] = 0
    if owed then
      after[i] = math.min(after[i], window)
    elseif after[i] > window then
      waits[i], refused = after[i] - window, true
    end
  end
end
local function keep(count)
  for i = 1, count do
    if after[i] > 0 then
      redis.call('SET', KEYS[i], string.format('%.0f', now + after[i]), 'PX', math.ceil(after[i] / 1000))
    end
  end
end
"""

TAKE = (
    _BUCKETS
    + """
ask(#KEYS, 0)
if refused then return {waits, before} end
keep(#KEYS)
return {waits, after}
"""
)
"""Keys are buckets; four arguments each: window and token in microseconds, cost, and 1 for what is owed.

Answers how long each bucket is to be waited for, and in what time each is full. A number in Lua is exact up
to 2^53, which is the year 2255 in microseconds.
"""

_PLACES = """
local now_ms = math.floor(now / 1000)
local function amounts(text)
  local turns, tokens, micros = string.match(text, '(%d+) (%d+) (%d+)$')
  return {tonumber(turns), tonumber(tokens), tonumber(micros)}
end
local reserved = {'rt', 'rk', 'rm'}
local function give_back(count, open, member)
  if redis.call('ZREM', open, member) == 1 and redis.call('HEXISTS', count, 'g') == 1 then
    for i, amount in ipairs(amounts(member)) do redis.call('HINCRBY', count, reserved[i], 0 - amount) end
  end
end
"""

RESERVE = (
    _BUCKETS
    + _PLACES
    + """
local buckets = tonumber(ARGV[1])
ask(buckets, 1)
local generation, turn = redis.call('GET', KEYS[buckets + 1]), KEYS[buckets + 2]
if redis.call('EXISTS', turn) == 1 then return {1, {}, {}, {}} end
if not generation then return {2, waits, before, {}} end
local at = 1 + 4 * buckets
local id, wanted, lasts, kept = ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), ARGV[at + 4]
local amount = amounts(wanted)
local places = (#KEYS - buckets - 2) / 2
local cold, over = {}, {}
for q = 1, places do
  local count, open = KEYS[buckets + 1 + 2 * q], KEYS[buckets + 2 + 2 * q]
  local found = redis.call('HMGET', count, 'g', 't', 'k', 'm', 'rt', 'rk', 'rm')
  if found[1] ~= generation or redis.call('ZCOUNT', open, '-inf', now_ms) > 0 then
    cold[#cold + 1] = q
  else
    for i = 1, 3 do
      local most = tonumber(ARGV[at + 4 * q + i])
      local sum = tonumber(found[1 + i]) + tonumber(found[4 + i]) + amount[i]
      if most >= 0 and sum > most and over[#over] ~= q then over[#over + 1] = q end
    end
  end
end
if #cold > 0 then return {3, waits, before, cold} end
if #over > 0 then return {4, waits, before, over} end
if refused then return {5, waits, before, {}} end
keep(buckets)
redis.call('SET', turn, wanted, 'PX', kept)
for q = 1, places do
  local count, open = KEYS[buckets + 1 + 2 * q], KEYS[buckets + 2 + 2 * q]
  for i = 1, 3 do redis.call('HINCRBY', count, reserved[i], amount[i]) end
  redis.call('ZADD', open, now_ms + lasts, id .. ' ' .. wanted)
  local stays = ARGV[at + 4 * q + 4]
  redis.call('PEXPIRE', count, stays)
  redis.call('PEXPIRE', open, stays)
end
return {0, waits, after, {}}
"""
)
"""Keys: buckets, the generation, the turn, and count and open turns of each place.

Arguments: how many buckets, four for each; the turn's id, what it wants, how long it lasts and is remembered;
for each place three limits (-1 is none) and how long its count is kept.
"""

ADOPT = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
for q = 1, (#KEYS - 1) / 2 do
  local count, open = KEYS[2 * q], KEYS[2 * q + 1]
  redis.call('ZADD', open, now_ms + tonumber(ARGV[3]), ARGV[1] .. ' ' .. ARGV[2])
  redis.call('PEXPIRE', open, ARGV[4 + q])
  if redis.call('EXISTS', count) == 1 then redis.call('HSET', count, 'g', '') end
end
return 1
"""
"""Keys: a turn, and count and open turns of its places; arguments as of a claim.

A count that is there is cold from then on.
"""

LOAD = (
    _BUCKETS
    + _PLACES
    + """
local generation = redis.call('GET', KEYS[1])
if not generation then return 0 end
local count, open = KEYS[2], KEYS[3]
if (tonumber(redis.call('HGET', count, 'v') or '') or -1) < tonumber(ARGV[4]) then
  redis.call('HSET', count, 't', ARGV[1], 'k', ARGV[2], 'm', ARGV[3], 'v', ARGV[4])
end
redis.call('ZREMRANGEBYSCORE', open, '-inf', now_ms)
local sum = {0, 0, 0}
for _, member in ipairs(redis.call('ZRANGE', open, 0, -1)) do
  for i, amount in ipairs(amounts(member)) do sum[i] = sum[i] + amount end
end
redis.call('HSET', count, 'g', generation, 'rt', sum[1], 'rk', sum[2], 'rm', sum[3])
redis.call('PEXPIRE', count, ARGV[5])
return 1
"""
)
"""Keys: the generation, a place's count, its open turns; arguments: what was spent, version, its time."""

SETTLE = (
    _BUCKETS
    + _PLACES
    + """
local wanted = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], 'settled', 'PX', ARGV[2])
for q = 1, (#KEYS - 1) / 2 do
  local count, open, at = KEYS[2 * q], KEYS[2 * q + 1], 5 * q - 2
  if wanted and wanted ~= 'settled' then give_back(count, open, ARGV[1] .. ' ' .. wanted) end
  if (tonumber(redis.call('HGET', count, 'v') or '') or -1) < tonumber(ARGV[at + 3]) then
    redis.call('HSET', count, 't', ARGV[at], 'k', ARGV[at + 1], 'm', ARGV[at + 2], 'v', ARGV[at + 3])
  end
  local is_loaded = redis.call('HEXISTS', count, 'g') == 1
  redis.call('PEXPIRE', count, is_loaded and ARGV[at + 4] or '30000')
end
return 1
"""
)
"""Keys: a turn, count and open turns of each place; arguments: its id, how long it is remembered, and for
each place what was spent, version, its time. What nobody has loaded stays while somebody may load it."""

RELEASE = (
    _BUCKETS
    + _PLACES
    + """
local wanted = redis.call('GET', KEYS[1])
if not wanted then return 0 end
redis.call('DEL', KEYS[1])
if wanted == 'settled' then return 0 end
for q = 1, (#KEYS - 1) / 2 do give_back(KEYS[2 * q], KEYS[2 * q + 1], ARGV[1] .. ' ' .. wanted) end
return 1
"""
)
"""Keys as of `SETTLE`; argument: the turn's id."""
