-- The names of all keys, and what belongs to whom.
-- @inline
--
-- ARGV[1] is always the namespace, on a cluster with the hash tag of the slot behind it. An owner
-- is "env:tenant:team:user", with an empty team or user for none (ids hold no colon). In names of
-- keys, as the reference writes them, stands the owner's path: the same with "-" for no team.
local ns = ARGV[1]

-- What follows the namespace. The same words stand in keys.py.
local SESSION, RECORD, CLAIM, COPIED = ':session:', ':own:', ':claim:', ':copied:' -- a session key follows
local SCOPE, WAITS, INDEX = ':waits:scope:', ':waits:user:', ':scopes:' -- an owner's path follows
local POINTER, MENDING = ':user:', ':mending:' -- an owner's path follows
local BARRED, STAGED, LASTING = ':barred:', ':staged:', ':lasting:sessions' -- a nonce, twice; nothing
local REPLIES, DELIVERED, KEPT = ':replies:', ':delivered:', ':kept:' -- an owner's path follows
local READY, MADE = ':ready:', ':made:' -- see ready_index.lua; the token of a claim
local NAMED = ':named' -- nothing; see step_ends.lua
local CARRIED = ':carried:' -- an owner's path follows, and the SHA-256 of a scope; see copied.lua
local ACCEPTED = ':accepted' -- nothing: how many replies were accepted within a day
local HASH_LENGTH = 64 -- hex digits of a SHA-256, at the end of a scope's key

-- On a cluster braces keep namespaces apart.
local function in_slot() return ns:sub(-1) == '}' end

-- (A plain find first: nearly all users are in a team, and a pattern takes as long as a command.)
local function owner_path(owner) return owner:find('::', 1, true) and owner:gsub('^([^:]*:[^:]*:):', '%1-:') or owner end
local function owner_of_path(path) return path:find(':-:', 1, true) and path:gsub('^([^:]*:[^:]*:)-:', '%1:') or path end

local function session_key(key) return ns .. SESSION .. key end
local function record_key(key) return ns .. RECORD .. key end
local function claim_key(key) return ns .. CLAIM .. key end
local function copied_key(key) return ns .. COPIED .. key end
local function barred_key(nonce) return ns .. BARRED .. nonce end
local function staged_key(nonce) return ns .. STAGED .. nonce end
local function made_key(token) return ns .. MADE .. token end
local function index_at(path) return ns .. INDEX .. path end

-- The parts of keys that a script is given.
local function hash_of_scope(scope) return scope:sub(-HASH_LENGTH) end
local function path_of_scope(scope) return scope:sub(#ns + #SCOPE + 1, -HASH_LENGTH - 2) end

-- The keys that belong to a user, by the owner's path or by the owner.
local function scope_at(path, hash) return ns .. SCOPE .. path .. ':' .. hash end
local function set_at(path) return ns .. WAITS .. path end
local function pointer_at(path) return ns .. POINTER .. path end
local function mending_at(path) return ns .. MENDING .. path end
local function scope_key(owner, hash) return scope_at(owner_path(owner), hash) end
local function set_key(owner) return set_at(owner_path(owner)) end
local function index_key(owner) return index_at(owner_path(owner)) end
local function pointer_key(owner) return pointer_at(owner_path(owner)) end
local function mending_key(owner) return mending_at(owner_path(owner)) end
local function replies_at(path, hash) return ns .. REPLIES .. path .. ':' .. hash end
local function replies_key(owner, hash) return replies_at(owner_path(owner), hash) end
local function delivered_at(path, name) return ns .. DELIVERED .. path .. ':' .. name end
local function delivered_key(owner, name) return delivered_at(owner_path(owner), name) end
local function carried_key(owner, hash) return ns .. CARRIED .. owner_path(owner) .. ':' .. hash end
local function kept_key(owner) return ns .. KEPT .. owner_path(owner) end
local function ready_key(rest) return ns .. READY .. rest end
local function places_at(path) return ready_key(path:match('^(.*):')) end
local function place_name(path, hash) return path:match('^.*:(.*)') .. ':' .. hash end
