-- elements: the values of a list or set as one field holds them: parted by a separator, with one more behind a last value
-- that is empty (so that "" is the empty list, and a lone separator the list of one empty text).
--- @include fx
local function split(text, separator)
  local parts = {}
  if text == '' then return parts end
  if string.sub(text, -1) == separator then text = string.sub(text, 1, -2) end
  local at = 1
  repeat
    local stop = string.find(text, separator, at, true)
    parts[#parts + 1] = string.sub(text, at, stop and stop - 1 or -1)
    at = stop and stop + 1
  until not at
  return parts
end

-- By bytes: the server's own `<` follows its locale. A set is kept sorted, so that the same set is the same text.
local function before(a, b)
  local n = math.min(#a, #b)
  for i = 1, n do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- change_elements(op, text, arguments) -> the new text, and how many values came or went.
--   arguments: field, separator, list or set, value, ...
function fx.change_elements(op, text, arguments)
  local separator, is_set = arguments[2], arguments[3] == 'set'
  local parts, count, named, has = split(text or '', separator), 0, {}, {}
  for i = 4, #arguments do named[arguments[i]] = true end
  if op == 'append' then
    for _, part in ipairs(parts) do has[part] = true end
    for i = 4, #arguments do
      if not (is_set and has[arguments[i]]) then
        parts[#parts + 1] = arguments[i]
        has[arguments[i]] = true
        count = count + 1
      end
    end
    if is_set and count > 0 then table.sort(parts, before) end
  else
    local kept = {}
    for _, part in ipairs(parts) do
      if not named[part] then kept[#kept + 1] = part end
    end
    count = #parts - #kept
    parts = kept
  end
  if #parts > 0 and parts[#parts] == '' then parts[#parts + 1] = '' end
  return table.concat(parts, separator), count
end
