-- Put what is new of an inbox of another store behind what lies at its place here.
-- KEYS[1]  the prefix of all session keys
-- ARGV     namespace, source, owner, SHA-256 of the scope, that as JSON, terms (see terms.lua); and
--          of each reply, oldest first: id, body, what stands beside it, when it was accepted as
--          that is told, and what export_inboxes.lua tells behind that; the name of its delivery or
--          ""
-- Returns  how many replies were added
-- @include session
-- @include places

-- A function, for a script has 200 variables at most.
local function put_inbox()
  -- @include copied
  local source, owner, hash, scope, at, count = ARGV[2], ARGV[3], ARGV[4], ARGV[5], instant(), 0
  local wait, inbox = open_place(owner, hash)
  local is_copy = wait and as_left(wait.session, source)
  local carried, place = carried_key(owner, hash), replies_key(owner, hash)
  if inbox.terms.text == '' then inbox.terms = read_terms(ARGV[6]) end

  for number = 7, #ARGV, 10 do
    local id, body, beside, told, size, accepted, keep, token, held, name = unpack(ARGV, number, number + 9)
    local received = {
      id = id, size = tonumber(size), accepted = at + tonumber(accepted), keep_until = keep == '' and 0 or at + tonumber(keep),
      token = token, held_until = token == '' and 0 or at + tonumber(held), delivered = name, told = told,
    }
    local was_copied = redis.call('HEXISTS', carried, id) == 1 or redis.call('HEXISTS', place, 'b:' .. id) == 1
    local is_over = not wait and kept_until(received, inbox.terms) <= at
    if not was_copied and not is_over and not (name ~= '' and known_delivery(owner, name)) then
      count = count + 1
      inbox.replies[#inbox.replies + 1] = received
      redis.call('HSET', place, 'b:' .. id, body, 'h:' .. id, beside, SCOPE_OF_PLACE, scope)
      if name ~= '' then
        redis.call('SET', delivered_key(owner, name), hash .. ':' .. id)
        inbox.ids_end = 0 -- its lifetime is set with the others'
      end
      redis.call('HSET', carried, id, source)
    end
  end
  if count == 0 then return 0 end
  redis.call('PEXPIRE', carried, MONTH)
  inbox.is_stored, inbox.key_end = true, -1 -- the key may be new
  if not wait then
    prune(inbox)
  else
    if wait.terms.text == '' then wait.terms = inbox.terms end
    refresh(wait, is_copy and wait.ends) -- what these prolong has been prolonged where it comes from
  end
  return count
end

return put_inbox()
