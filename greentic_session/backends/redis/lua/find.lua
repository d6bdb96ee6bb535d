-- Find the wait of the first scope that has one.
-- KEYS[1]  the first scope
-- ARGV     namespace, owner, SHA-256 of each scope, best first
-- Returns  {number of the scope that matched, session key, text}; nil if nothing waits
for number = 3, #ARGV do
  local session = find(ARGV[2], ARGV[number])
  if session then return {number - 3, session.key, text_of(session)} end
end
return nil
