-- End a reservation, if it is still that one. See owner_pointers.py.
-- KEYS[1]  the owner pointer
-- ARGV     the nonce of the reservation
-- Returns  1; 0 if it was another's, or not there
local holder = (redis.call('GET', KEYS[1]) or ''):match('^%x+')
return holder == ARGV[1] and redis.call('DEL', KEYS[1]) or 0
