-- End a live claim.
-- KEYS     the claim, its session
-- ARGV     namespace, token
-- Returns  1; 0 if the claim is over
local claim, token = redis.pcall('GET', KEYS[1]), ARGV[2]
if type(claim) ~= 'string' or claim:sub(1, #token + 1) ~= token .. ':' then return 0 end
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
return redis.call('DEL', KEYS[1])
