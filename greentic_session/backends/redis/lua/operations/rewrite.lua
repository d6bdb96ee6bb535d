-- Store another text of a reply.
-- KEYS[1]  the scope of its place
-- ARGV     namespace, owner, id, the text as it was found, the new one
-- Returns  1; 0 if it is gone, or has another text by now
-- @include keys
local key, field = replies_key(ARGV[2], hash_of_scope(KEYS[1])), 'b:' .. ARGV[3]
if redis.call('HGET', key, field) ~= ARGV[4] then return 0 end
-- @include places
local _, inbox = open_place(ARGV[2], hash_of_scope(KEYS[1])) -- what has run out is gone
if redis.call('HEXISTS', key, field) == 0 or #inbox.replies == 0 then return 0 end
redis.call('HSET', key, field, ARGV[5])
return 1
