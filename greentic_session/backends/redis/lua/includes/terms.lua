-- For how long a store keeps what it accepts, as its options say: "reply_grace timeout_grace
-- dedupe_window", in ms. What was accepted is kept by the terms of the store that accepted it, and
-- a deadline outlived by those of the store that set it, whichever store of the namespace works on
-- it later.
local function read_terms(text)
  local reply, timeout, window = (text or ''):match('^(%d+) (%d+) (%d+)')
  return {text = text or '', reply_grace = tonumber(reply) or 0, timeout_grace = tonumber(timeout) or 0,
    dedupe_window = tonumber(window) or 0}
end
