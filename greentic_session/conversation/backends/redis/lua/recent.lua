-- Read a page of summaries, the latest change first. Ids of expired conversations leave the index.
-- KEYS     index by recency, index by expiry, the prefix of the partition's header keys, the prefix
--          of its message keys
-- ARGV     schema version, number of ids to read, the id before the page, or "", the score of that
--          id, or "" for its current one
-- Returns  {"absent"}, or {"ok", the last id of the page, its score, number of unreadable
--          conversations, and for each other one its id, created_at, updated_at and number of
--          messages}; the last id is "" at the end of the index
-- @include _header
-- @include _partition
local after, score = ARGV[3], ARGV[4]

-- Compare ids by their bytes, as Redis sorts them; Lua compares texts by the server's locale.
local function precedes(a, b)
  for at = 1, math.min(#a, #b) do
    local x, y = a:byte(at), b:byte(at)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- Return the rank of the first entry behind an id with a score, which may be missing.
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
local answer, expired, unreadable = {'ok', '', '', 0}, {}, 0
if #found == 2 * ARGV[2] then answer[2], answer[3] = found[#found - 1], found[#found] end
for at = 1, #found, 2 do
  local id = found[at]
  local read, header, failure = pcall(read_header, KEYS[3] .. id, ARGV[1]) -- the key may have a wrong type
  local count = read and header and redis.pcall('LLEN', KEYS[4] .. id)
  if type(count) == 'number' then
    for _, value in ipairs({id, header.created_at, header.updated_at, count}) do answer[#answer + 1] = value end
  elseif read and failure and failure[1] == 'absent' then
    expired[#expired + 1] = id
  else
    unreadable = unreadable + 1
  end
end
answer[4] = unreadable
pcall(remove_from_index, expired) -- a replica refuses writes
return answer
