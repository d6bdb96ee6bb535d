-- Numbers as decimal digits: Lua computes with doubles, and stored numbers may be up to 2^64 - 1.
local function is_count(text)
  return text and #text <= 20 and (text == '0' or text:find('^[1-9]%d*$'))
end

-- Microseconds since the Unix epoch, up to 17 digits.
local function is_moment(text)
  return is_count(text) and #text <= 17
end

local function is_greater(a, b)
  if #a ~= #b then return #a > #b end
  return a > b
end

-- Return the moment of a change, as `moments.later`: now, but later than the change before.
local function later(now, before)
  if is_greater(now, before) then return now end
  local front, nines = before:match('^(.-)(9*)$')
  if front == '' then front = '0' end
  local digit = string.char(front:byte(-1) + 1)
  return front:sub(1, -2) .. digit .. ('0'):rep(#nines)
end
