-- Store a text under the key of a session, with a lifetime: the first write of a script.
-- Reads  call; target (the session's key in Redis); text, or the nonce under which it is staged;
--        is_staged; lifetime (ms, or "-1" for ever); is_new (whether no session may be there)
-- Sets   stored: false where there is a session, and none may be; nil where the text is staged no
--        more
local stored = true
if is_staged then
  local done = redis.pcall(is_new and 'RENAMENX' or 'RENAME', staged_key(text), target)
  if done == 0 then
    stored = false
  elseif type(done) == 'table' and done.err then
    stored = nil
  elseif lifetime == '-1' then
    call('PERSIST', target)
  else
    call('PEXPIRE', target, lifetime)
  end
elseif lifetime == '-1' then
  stored = (is_new and call('SETNX', target, text) or call('SET', target, text)) ~= 0
elseif is_new then
  stored = call('SET', target, text, 'PX', lifetime, 'NX') and true
else
  call('SET', target, text, 'PX', lifetime)
end
