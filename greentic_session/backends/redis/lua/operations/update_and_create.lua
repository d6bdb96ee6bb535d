-- Replace the text of a session that has a version, and create a new one in the same step.
-- KEYS     the session, the other
-- ARGV     as beside.lua has it, with those of create.lua
-- Returns  "updated"; {"apart"} where nothing was done, for whatever reason: each of the two
--          operations tells; {"unstaged"} where the text of the other session is staged no more
-- @include beside
local function other(KEYS, ARGV)
-- @include create
end
return store_both(usual, ARGV[13], other, 'stored')
