-- The server's time in milliseconds since the epoch, with microseconds: one moment for a whole
-- script. What became ready in one millisecond stays in order by that.
local precise

local function instant()
  if not precise then
    local time = redis.call('TIME')
    precise = time[1] * 1000 + time[2] / 1000
  end
  return precise
end

local function written(value) return value == math.huge and 'inf' or string.format('%.3f', value) end

-- What is left until a moment as a lifetime: whole ms, at least 1; -1 for ever.
local function left_of(ending) return ending == math.huge and -1 or math.max(math.ceil(ending - instant()), 1) end
