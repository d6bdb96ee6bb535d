-- Replacing the text of a session, and storing a new one in the same step: both or none.
-- ARGV     namespace, session key, text, its SHA-1, owner and caller's context, version to match;
--          and those of the operation that stores the other one, behind the namespace
-- @include staging
local key, text, sha, owner, version = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local call, target, own, ctx, prefix = redis.call, KEYS[1], record_key(key), owner, ''
-- @include usual_text

-- Store both, where they may be; `size` tells whether the text of the other one is staged, `other`
-- is its operation, which answers `done`. All rules of that hold: it checks before it writes, and
-- nothing of the first session.
local function store_both(may_be, size, other, done)
  if not may_be then
    if size ~= '' then call('UNLINK', staged_key(ARGV[8])) end -- the text of the other
    return {'apart'}
  end
  local answer = other({KEYS[2]}, {ns, unpack(ARGV, 7)})
  local outcome = type(answer) == 'table' and answer[1] or answer
  if outcome == 'unstaged' then return answer end
  if outcome ~= done then return {'apart'} end
  call('SET', target, text, 'KEEPTTL')
  call('HSET', own, TEXT_SHA, sha, TEXT_BYTES, #text)
  return 'updated'
end
