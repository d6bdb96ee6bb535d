-- The record that we keep beside each session: the hash {ns}:own:{session key}, which lives as long
-- as the session. Its fields are named by one letter on disk, and by these words in scripts.
-- @include keys
-- @inline
local OWNER = 'o' -- the owner of what we wrote
local SCOPE_HASH = 's' -- the SHA-256 of the scope where the session waits, empty if it is no wait
local SCOPE_JSON = 'w' -- that scope as JSON, for walks; a copy of a wait that only the reference wrote has none
local SINCE = 'b' -- since when it waits there, in s since the epoch; or the lifetime that it was parked with, in ms and below zero
local LATEST_OF = 'p' -- the owner whose latest session it is, if it is one
local TEXT_SHA, TEXT_BYTES = 'h', 'n' -- the SHA-1 of the text that we wrote last, and its length

-- "1" each, for:
local MOVED = 'f' -- the reference wrote between our last registering and our last write: scope keys are believed
local REPARKED = 'x' -- parked over a session: scope keys of the reference's from before may lead to it
local UNSEEN = 'c' -- that text was somebody else's, and nobody has seen yet whether it is a session
local NOTED = 'e' -- named in {ns}:lasting:sessions, by an operation that noted so

-- On a cluster; owner_pointers.py tells what for:
local NONCE = 'g' -- the nonce of the reservation under which it was stored
local POINTER_REACH = 'u' -- for how many ms the owner pointer outlives the session, at least

-- Of a session that takes part in replies and deadlines, and of no other; see waiting.lua. Moments
-- are ms since the epoch, with microseconds, or inf.
local PLACE = 'r' -- the SHA-256 of the scope of its place, "-" if it has none
local DEADLINE, REST_END, PUT_OFF = 'd', 't', 'q' -- as in greentic_session/transitions/waiting.py
local RESUME, IS_NEW = 'a', 'z' -- "1" each
local TURN = 'i' -- how many attempts failed, its key, and what it is about, with a space between
local TOKEN, HELD = 'k', 'l' -- of the last claim that nobody gave back; the places where that holds replies
local TERMS = 'y' -- for how long the store that set a deadline or accepted a reply keeps things; see terms.lua

local APART_MS = 50 -- lifetimes of a session and its record that are further apart were not set by us

-- Fields of an inbox, see inboxes.lua: what the rules want to know, packed; the scope of the place.
local ORDER, SCOPE_OF_PLACE = '#', 's'

-- What a record that is to live longer by so many ms, or shorter, says of since when its session
-- waits.
local function later_by(since, ms) return since:find('^%-') and string.format('%d', since - ms) or since end

-- The last byte of a text that is its beginning, counted from 0. (A number would cost Redis more.)
local function last_of(prefix) return string.format('%d', #prefix - 1) end

-- Lasting sessions, without a lifetime or with one of more than a day, are checked once a day; see
-- lasting.lua.
local CHECK_AFTER_MS = 86400000
local function is_lasting(ttl) return ttl == -1 or ttl > CHECK_AFTER_MS end
