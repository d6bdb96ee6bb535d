-- Tell what lies at a place, oldest first.
-- KEYS[1]  the scope
-- ARGV     namespace, owner
-- Returns  the replies, as told_reply in inboxes.lua tells them
-- @include keys
local hash = hash_of_scope(KEYS[1])
if redis.call('EXISTS', replies_key(ARGV[2], hash)) == 0 then return {} end
-- @include places
local _, inbox = open_place(ARGV[2], hash)
local answer = {}
for number, received in ipairs(inbox.replies) do answer[number] = told_reply(inbox, received) end
return answer
