-- Read one page of a partition by recency, and no message; ids of what has expired leave the index.
-- KEYS     index by recency, index by end, the front of the partition's headers, the front of its
--          messages
-- ARGV     schema version, how many ids to look at, the id after which to begin or "", the score
--          that it had, or "" for the one that it has
-- Returns  {"absent"}, or {"ok", the last id that was looked at, its score, how many cannot be
--          read, and for each of the others its id, created_at, updated_at, and how many messages
--          it has}; the last id is "" at the end of the index
-- @include _header
-- @include _index
local after, score = ARGV[3], ARGV[4]

-- Ids sort by their bytes. Lua would compare them as the server's locale has it.
local function precedes(a, b)
  for at = 1, math.min(#a, #b) do
    local x, y = a:byte(at), b:byte(at)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- The rank of the first that follows an id at a score, whether that is there or not.
local function rank_after()
  local low, high = redis.call('ZCOUNT', recent, '-inf', '(' .. score), redis.call('ZCOUNT', recent, '-inf', score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if precedes(after, redis.call('ZRANGE', recent, middle, middle)[1]) then high = middle else low = middle + 1 end
  end
  return low
end

if after ~= '' and score == '' then
  local updated = redis.pcall('HGET', KEYS[3] .. after, 'updated_at')
  if not updated and redis.call('EXISTS', KEYS[3] .. after) == 0 then return {'absent'} end
  score = redis.call('ZSCORE', recent, after) or (is_moment(updated) and '-' .. updated or '0')
end
local first = after == '' and 0 or rank_after()
local found = redis.call('ZRANGE', recent, first, first + ARGV[2] - 1, 'WITHSCORES')
local answer, dead, unreadable = {'ok', '', '', 0}, {}, 0
if #found == 2 * ARGV[2] then answer[2], answer[3] = found[#found - 1], found[#found] end
for at = 1, #found, 2 do
  local id = found[at]
  local read, header, refusal = pcall(look, KEYS[3] .. id, ARGV[1]) -- it may be something else than a hash
  local count = read and header and redis.pcall('LLEN', KEYS[4] .. id)
  if type(count) == 'number' then
    for _, value in ipairs({id, header.created_at, header.updated_at, count}) do answer[#answer + 1] = value end
  elseif read and refusal and refusal[1] == 'absent' then
    dead[#dead + 1] = id
  else
    unreadable = unreadable + 1
  end
end
answer[4] = unreadable
pcall(forget, dead) -- on a replica it cannot
return answer
