-- On a cluster: how long the owner pointer of a session lives. owner_pointers.py tells what for.

-- For how long a pointer that "never" expires can be counted on, in ms.
local FOR_GOOD = 5 * 365 * 86400000

-- How long the pointer still lives at least, in ms.
local function pointer_left(ttl, pointer_reach)
  return ttl == -1 and FOR_GOOD or ttl + tonumber(pointer_reach)
end
