-- The owner that the beginning of a text names; nil if it does not begin as the reference and we
-- write it. No JSON is decoded: ids have no escapes, and the fields have a fixed order.
local PAIR = '"([%w._-]+)","'
local USUAL = '^{"tenant_ctx":{"env":' .. PAIR .. 'tenant":' .. PAIR .. 'tenant_id":"%2","'
local IN_TEAM = USUAL .. 'team":' .. PAIR .. 'team_id":"%3","user":' .. PAIR .. 'user_id":"%4","'
local ID = '"([%w._-]+)"()'
local HEAD = '^{"tenant_ctx":{"env":' .. ID .. ',"tenant":' .. ID .. ',"tenant_id":' .. ID
local TEAM, TEAM_ID, USER, USER_ID = '^,"team":' .. ID, '^,"team_id":' .. ID, '^,"user":' .. ID, '^,"user_id":' .. ID

local function identity(head)
  local is, of, within, who = head:match(IN_TEAM) -- nearly all of them, in one step
  if is then return is .. ':' .. of .. ':' .. within .. ':' .. who end
  local env, _, _, _, tenant, at = head:match(HEAD)
  if not env then return nil end
  local function field(pattern)
    local value, after = head:match(pattern, at)
    at = after or at
    return value
  end
  local team, team_id, user, user_id = field(TEAM), field(TEAM_ID), field(USER), field(USER_ID)
  -- Another field must follow: else the head was cut in the middle of these.
  local following = head:match('^,"([%w_]+)":', at)
  if not following or following:match('^team') or following:match('^user') then return nil end
  return env .. ':' .. tenant .. ':' .. (team_id or team or '') .. ':' .. (user_id or user or '')
end
