-- How the payload of an owner's session begins where the fields of each pair are alike, as nearly always. No other owner's
-- begins like it: the fields have a fixed order, and those of the identity end with the user.
local function front_of(env, tenant, team, user)
  local within = team == '' and '' or '"team":"' .. team .. '","team_id":"' .. team .. '",'
  return '{"tenant_ctx":{"env":"' .. env .. '","tenant":"' .. tenant .. '","tenant_id":"' .. tenant .. '",' .. within
    .. '"user":"' .. user .. '","user_id":"' .. user .. '",'
end
