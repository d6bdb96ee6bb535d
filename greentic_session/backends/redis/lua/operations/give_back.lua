-- Give back a claim whose caller was cancelled or timed out, and does not know which wait it got,
-- if any.
-- KEYS     the scopes that it tried
-- ARGV     namespace, token
-- Returns  {"released"}; {"over"} if none of the waits there has this claim
-- @include claims
-- @include keys
for _, scope in ipairs(KEYS) do
  local key = redis.pcall('GET', scope)
  local claim = type(key) == 'string' and claim_key(key)
  if claim and claimed_at(claim, ARGV[2]) then
    redis.call('DEL', claim)
    return {'released'}
  end
end
return {'over'}
