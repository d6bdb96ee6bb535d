-- @include _numbers
-- The header of a conversation, as far as every operation looks at it. Returns a table; nil and the
-- answer that refuses: {"absent"}, {"corrupt"}, or {"schema", version} if it is newer than ours.
local function look(head, schema)
  local found = redis.call('HMGET', head, 'schema_version', 'updated_at', 'created_at', 'birth', 'max_turns', 'event_count')
  local version, updated, created = found[1], found[2], found[3]
  if not version and redis.call('EXISTS', head) == 0 then return nil, {'absent'} end
  if not is_count(version) then return nil, {'corrupt'} end
  if exceeds(version, schema) then return nil, {'schema', version} end
  if not (is_moment(updated) and is_moment(created) and is_count(found[5]) and is_count(found[6])) then
    return nil, {'corrupt'}
  end
  return {birth = found[4] or '', created_at = created, updated_at = updated}
end
