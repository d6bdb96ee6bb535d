-- Put what is new of an inbox of another store behind what lies at its place here. What was copied
-- before, and nobody here has touched, is held and kept as it is there; among themselves they have
-- the order that they have there.
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
  local source, owner, hash, scope, at, count, is_changed = ARGV[2], ARGV[3], ARGV[4], ARGV[5], instant(), 0, false
  local wait, inbox = open_place(owner, hash)
  local is_copy = wait and as_left(wait.session, source)
  local carried, place = carried_key(owner, hash), replies_key(owner, hash)
  if inbox.terms.text == '' then inbox.terms = read_terms(ARGV[6]) end
  local lying = {}
  for _, received in ipairs(inbox.replies) do lying[received.id] = received end

  local function note_carried(received) redis.call('HSET', carried, received.id, source .. ' ' .. received.token) end

  local function follow(received)
    local mine, from, token = lying[received.id], carried_from(owner, hash, received.id)
    if not mine or from ~= source or (mine.token ~= '' and mine.token ~= token) or (wait and not is_copy) then return end
    local is_held_alike = mine.token == received.token and near(mine.held_until, received.held_until)
    if is_held_alike and near(mine.keep_until, received.keep_until) then return end
    hold(mine, received.token, received.held_until)
    mine.keep_until = received.keep_until
    note_carried(received)
    is_changed = true
  end

  -- What comes late, for its wait or an older reply of its delivery was in the way, has its place.
  local function put_in_order()
    local rank, places, mine = {}, {}, {}
    for number = 7, #ARGV, 10 do rank[ARGV[number]] = number end
    for index, received in ipairs(inbox.replies) do
      if rank[received.id] then places[#places + 1], mine[#mine + 1] = index, received end
    end
    table.sort(mine, function(one, other) return rank[one.id] < rank[other.id] end)
    for index, received in ipairs(mine) do inbox.replies[places[index]] = received end
  end

  for number = 7, #ARGV, 10 do
    local id, body, beside, told, size, accepted, keep, token, held, name = unpack(ARGV, number, number + 9)
    local received = {
      id = id, size = tonumber(size), accepted = at + tonumber(accepted), keep_until = keep == '' and 0 or at + tonumber(keep),
      token = token, held_until = token == '' and 0 or at + tonumber(held), delivered = name, told = told,
    }
    local was_copied = redis.call('HEXISTS', carried, id) == 1 or lying[id]
    -- It may lie there for a wait that another pass brings.
    local is_over = not wait and kept_until(received, inbox.terms) <= at
    if was_copied and not is_over then follow(received) end
    if not was_copied and not is_over and not (name ~= '' and known_delivery(owner, name)) then
      count = count + 1
      inbox.replies[#inbox.replies + 1] = received
      redis.call('HSET', place, 'b:' .. id, body, 'h:' .. id, beside, SCOPE_OF_PLACE, scope)
      if name ~= '' then
        redis.call('SET', delivered_key(owner, name), hash .. ':' .. id)
        inbox.ids_end = 0 -- its lifetime is set with the others'
      end
      note_carried(received)
    end
  end
  if count == 0 and not is_changed then return 0 end
  if count > 0 then put_in_order() end
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
