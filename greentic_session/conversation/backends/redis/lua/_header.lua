-- @include _numbers
-- Read the fields of a header that every operation needs. Returns a table; or nil and the answer of
-- the script: {"absent"}, {"corrupt"}, or {"schema", version} for a newer version.
local function read_header(head, schema)
  local found = redis.call('HMGET', head, 'schema_version', 'updated_at', 'created_at', 'birth', 'max_turns', 'event_count')
  local version, updated, created = found[1], found[2], found[3]
  if not version and redis.call('EXISTS', head) == 0 then return nil, {'absent'} end
  if not is_count(version) then return nil, {'corrupt'} end
  if is_greater(version, schema) then return nil, {'schema', version} end
  if not (is_moment(updated) and is_moment(created) and is_count(found[5]) and is_count(found[6])) then
    return nil, {'corrupt'}
  end
  return {birth = found[4] or '', created_at = created, updated_at = updated}
end
