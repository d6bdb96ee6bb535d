-- A script that looks at many sessions ends early where they have cost enough: after so many bytes
-- of texts read (or freed), or so many members of users' sets looked at.
local bytes_read, members_seen = 0, 0
local BYTES_ENOUGH, MEMBERS_ENOUGH = 256 * 1024, 100
local function is_enough() return bytes_read >= BYTES_ENOUGH or members_seen >= MEMBERS_ENOUGH end
