-- The server's time in milliseconds since the epoch: one moment for a whole script.
local moment

local function now()
  if not moment then
    local time = redis.call('TIME')
    moment = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return moment
end
