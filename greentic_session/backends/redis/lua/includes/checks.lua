-- What is checked before a write.
-- @include loading
-- Which part of a session's identity another owner would change; nil if none.
local function difference(stored, new)
  if stored == new then return nil end
  local env, tenant, team = stored:match('^([^:]*):([^:]*):([^:]*):')
  local new_env, new_tenant, new_team = new:match('^([^:]*):([^:]*):([^:]*):')
  if env ~= new_env or tenant ~= new_tenant then return 'env/tenant' end
  return team ~= new_team and 'team' or 'user'
end

-- Fail now, before anything is written, if a key that will be written holds a wrong type. (An index
-- that is none is made anew.)
local function require_types(owner, hash, key)
  redis.call('GET', scope_key(owner, hash))
  redis.call('SCARD', set_key(owner))
  redis.call('HLEN', record_key(key))
  redis.call('STRLEN', claim_key(key))
  redis.call('STRLEN', session_key(key))
end
