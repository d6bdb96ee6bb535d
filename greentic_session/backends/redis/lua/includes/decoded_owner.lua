-- The owner that a text names, as its reader will find it: names may come twice or with escapes, in
-- any order.
-- @inline
local MOST_BYTES = 65536 -- that are decoded: the server waits for it
local MOST_DEPTH = 1000 -- cjson reads nothing that nests deeper, and the reader may

local function is_id(value) return type(value) == 'string' and value:find('^[%w._-]+$') ~= nil end

local function is_id_or_none(value) return value == nil or value == cjson.null or is_id(value) end

-- A text up to the end of its context, if that comes first, as the reference and we write it, and
-- cannot come again.
local function up_to_context(text)
  local last = text:sub(1, 15) == '{"tenant_ctx":{' and text:find('},"flow_id":', 1, true)
  if not last or text:find('"tenant_ctx"', last, true) then return nil end
  local escaped = text:find('\\u', last, true)
  if escaped and text:find('\\u%x%x%x%x[%w_]*"[ \t\r\n]*:', escaped) then return nil end -- a name with an escape
  return text:sub(1, last) .. '}'
end

local function decode(text)
  if not text or #text > MOST_BYTES then return nil end
  local read, json = pcall(cjson.decode, text)
  return read and json or nil
end

-- Returns the owner; false if the text is no session for certain; nil if nobody can tell.
local function decoded_owner(text)
  if not text:find('^[ \t\r\n]*{') or (text:sub(-64):match('^.*([^ \t\r\n])') or '}') ~= '}' then return false end
  local json = decode(up_to_context(text)) or decode(text)
  if not json then
    if #text > MOST_BYTES then return nil end
    local _, opened = text:gsub('[%[{]', '')
    if opened > MOST_DEPTH then return nil end
    return false
  end
  local ctx = json.tenant_ctx
  if type(ctx) ~= 'table' or not (is_id(ctx.env) and is_id(ctx.tenant) and is_id(ctx.tenant_id)) then return false end
  for _, name in ipairs({'team', 'team_id', 'user', 'user_id'}) do
    if not is_id_or_none(ctx[name]) then return false end
    if ctx[name] == cjson.null then ctx[name] = nil end
  end
  return table.concat({ctx.env, ctx.tenant_id, ctx.team_id or ctx.team or '', ctx.user_id or ctx.user or ''}, ':')
end
