-- Replace the text of a session that has a version, and park a new one in the same step.
-- KEYS     the session, the scope of the other, where nothing waits
-- ARGV     as beside.lua has it, with those of park.lua
-- Returns  "updated"; {"apart"} where nothing was done, for whatever reason: each of the two
--          operations tells; {"unstaged"} where the text of the other session is staged no more
-- @include beside
local function other(KEYS, ARGV)
-- @include park
end
return store_both(usual and call('EXISTS', KEYS[2], session_key(ARGV[7])) == 0, ARGV[16], other, 'parked')
