-- Read what lies at some places, for a copy in another store.
-- KEYS[1]  the prefix of all session keys
-- ARGV     namespace, places: owner's path, colon, SHA-256 of the scope
-- Returns  {how many were looked at: at least one, and no more once it has cost enough; for each
--          where something lies: {owner, scope as JSON, terms (see terms.lua), and of each reply,
--          oldest first: {what told_reply in inboxes.lua tells, and its bytes, for how many ms it
--          has been there, below 0; how long it is kept where nothing waits, in ms, or ""; the
--          token of its claim or "", and what is left of the lease of that}}}
-- @include places
local answer, looked = {}, 0
local function left(moment) return string.format('%.0f', moment - instant()) end

for number = 2, #ARGV do
  if is_enough() then break end
  looked = looked + 1
  local path, hash = ARGV[number]:match('^(.*):(%x+)$')
  local owner = path and owner_of_path(path)
  local read, _, inbox = pcall(open_place, owner, hash) -- another namespace's is none of ours
  if read and #inbox.replies > 0 then
    local told = {owner, redis.call('HGET', replies_key(owner, hash), SCOPE_OF_PLACE) or '', inbox.terms.text}
    for _, received in ipairs(inbox.replies) do
      local reply = told_reply(inbox, received)
      bytes_read = bytes_read + received.size
      reply[5], reply[6] = received.size, left(received.accepted)
      reply[7] = received.keep_until > 0 and left(received.keep_until) or ''
      reply[8], reply[9] = received.token, received.token ~= '' and left(received.held_until) or '0'
      told[#told + 1] = reply
    end
    answer[#answer + 1] = told
  end
end
return {looked, answer}
