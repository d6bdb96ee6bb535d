-- Read the text of a session for an answer.
-- Reads  call; session (its key); nonce, or false where nothing may be staged
-- Sets   text: false where it is staged, to be read behind the script
local text
if nonce and call('STRLEN', session) >= STAGED_BYTES then
  text = redis.pcall('COPY', session, staged_key(nonce)) ~= 1 and nil -- a replica and a full server refuse it
  if text == false then call('PEXPIRE', staged_key(nonce), STAGED_MS) end
end
if text == nil then text = call('GET', session) end
