-- Reserve a session key for the users of one slot, and see that its owner pointer lives long
-- enough. See owner_pointers.py.
-- KEYS[1]  the owner pointer: nonce, a space, the hash tag of that slot
-- ARGV     the hash tag, a new nonce, for how many ms the pointer must live, and how long it is
--          given then; the nonce of the reservation to be replaced, or ""
-- Returns  {nonce, hash tag, ms that it lives}: of the reservation, or of another's that holds
local tag, nonce, needed, given, replaced = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local value = redis.call('GET', KEYS[1])
local holder, held = (value or ''):match('^(%x+) (.*)$')
local lives = redis.call('PTTL', KEYS[1])
if holder and holder ~= replaced then
  if held ~= tag then return {holder, held, lives} end
  nonce = holder
else
  redis.call('SET', KEYS[1], nonce .. ' ' .. tag, 'KEEPTTL')
end
if lives < needed then
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  lives = given
end
return {nonce, tag, lives}
