-- An owner is "env:tenant:team:user", with an empty team for none. In keys, as the reference writes them, it is "-" for none.
local function place(owner)
  return (owner:gsub('^([^:]*:[^:]*:):', '%1-:'))
end

local function owner_at(place)
  return (place:gsub('^([^:]*:[^:]*:)-:', '%1:'))
end
