-- Give back a claim whose caller was cancelled or timed out, and does not know which wait it got,
-- if any.
-- KEYS     the scopes that it tried; none, where it took whatever was ready
-- ARGV     namespace, token; of a delivery with an id, its name and the owner
-- Returns  {"released"}; {"over"} if none of the waits there has this claim
-- @include claims
-- @include keys
local token, name, owner = ARGV[2], ARGV[3], ARGV[4]

local function give_back_at(scope)
  local key = redis.pcall('GET', scope)
  local claim = type(key) == 'string' and claim_key(key)
  local hash, takes_part
  if claim then hash, takes_part = claimed_at(claim, token) end
  if not hash then return false end
  if takes_part then
    -- @include releasing
    release(key, hash)
  else
    redis.call('DEL', claim)
  end
  return true
end

for _, scope in ipairs(KEYS) do
  if give_back_at(scope) then return {'released'} end
end
if name and name ~= '' then -- it may have been accepted elsewhere before
  local where = redis.pcall('GET', delivered_key(owner, name))
  local hash = type(where) == 'string' and where:match('^(%x+):')
  if hash and give_back_at(scope_key(owner, hash)) then return {'released'} end
end
if #KEYS == 0 and give_back_at(made_key(token)) then return {'released'} end
return {'over'}
