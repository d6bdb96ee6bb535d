-- The wait at a scope where all is as usual, in as few commands as it takes: our record says that
-- the session waits there, and the user's set outlives it. That is what `find_wait` in waits.lua
-- would find out, too, but for whose the text is: who asks sees to that. Whose the scope is, and
-- its hash, are read from its key: a request that is short travels faster, and Redis reads more of
-- them at a time.
-- Reads  call; scope (its key); path (the owner's); fields_of(key): of its record the scope, its place
--        if it takes part in replies, and what else the script asks
-- Sets   known (those fields), kept (lifetime of the user's set), key (session key): false if
--        nothing is there; nil if it is for the rules to say; session (its key), ttl (lifetime in
--        ms)
local key, session, ttl, known, kept = call('GET', scope), nil, nil, nil, nil
if key then
  known = fields_of(key)
  if known[1] ~= hash_of_scope(scope) then
    key = nil
  else
    session = session_key(key)
    ttl = call('PTTL', session)
    kept = call('PTTL', set_at(path))
    if ttl == -2 or (kept ~= -1 and (ttl == -1 or kept < ttl - 5)) then key = nil
    elseif ttl == -1 and call('PTTL', record_key(key)) >= 0 then key = nil end -- see restore_lifetime
  end
end
