-- See what is ready in the slot of a user, on a cluster, and claim nothing. See ready_entries.py.
-- KEYS[1]  the places of the user, by when they are due
-- ARGV     namespace
-- Returns  {"nothing"}, and behind it what step_ends.lua tells a looker
return {'nothing'}
