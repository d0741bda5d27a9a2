-- pack: a list of strings as one string, "<length>:<bytes>" each. Values stay opaque; cjson would change them.
local function pack(list)
  local out = {}
  for i = 1, #list do
    local value = tostring(list[i])
    out[i] = #value .. ':' .. value
  end
  return table.concat(out)
end

local function unpack_list(text)
  local out, at, size = {}, 1, #text
  while at <= size do
    local colon = string.find(text, ':', at, true)
    local length = tonumber(string.sub(text, at, colon - 1))
    out[#out + 1] = string.sub(text, colon + 1, colon + length)
    at = colon + length + 1
  end
  return out
end
