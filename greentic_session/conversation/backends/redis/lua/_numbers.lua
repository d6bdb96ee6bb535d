-- Numbers as digits: Lua counts in doubles, and what we keep goes to 2^64 - 1.
local function is_count(text)
  return text and #text <= 20 and (text == '0' or text:find('^[1-9]%d*$'))
end

-- Microseconds since the epoch; what has more digits is beyond any calendar.
local function is_moment(text)
  return is_count(text) and #text <= 17
end

local function exceeds(a, b)
  if #a ~= #b then return #a > #b end
  return a > b
end

-- `moments.later`: now, and in any case later than before.
local function later(now, before)
  if exceeds(now, before) then return now end
  local front, nines = before:match('^(.-)(9*)$')
  if front == '' then front = '0' end
  local digit = string.char(front:byte(-1) + 1)
  return front:sub(1, -2) .. digit .. ('0'):rep(#nines)
end
