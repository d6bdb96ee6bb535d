-- Claim the first wait of a user that is ready, on a cluster. See ready_entries.py.
-- KEYS[1]  the places of the user, by when they are due
-- ARGV     namespace, the owner's path, token, idempotency key of a new turn, lease in ms
-- Returns  {"nothing"}; {"again"} where there may be more of what is ready no more; {"claimed", the
--          owner, then what told_claim in places.lua tells: instead of the number of the scope that
--          as JSON}; and behind each what step_ends.lua tells a looker
local path, token, turn_key, lease = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local MET_AT_MOST, MADE_MS = 16, 60000
-- @include claim_place
for _ = 1, MET_AT_MOST do
  local place, when = first_of(KEYS[1])
  if not place or when > instant() then return {'nothing'} end
  local owner = owner_of_path(path)
  local claimed = claim_place(owner, place:match(':(%x+)$'), when)
  if claimed then return {'claimed', owner, unpack(claimed)} end
  opened = {}
end
return {'again'}
