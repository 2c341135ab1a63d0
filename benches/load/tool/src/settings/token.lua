-- What a token is good for, as a careful operator has it checked: once by its signature, then by memory, and always by the time.
local json, hmac, lru = require "cjson.safe", require "openssl.hmac", require "resty.lrucache"
local match, gsub = string.match, string.gsub
local verified = lru.new(1000)

local function decoded(part)
    return ngx.decode_base64((gsub(part, "[-_]", { ["-"] = "+", ["_"] = "/" })))
end

local function object(part)
    local value = json.decode(decoded(part))
    return type(value) == "table" and value or {}
end

-- Until when the token is good, or nil if it is nobody's.
local function expiry(token)
    local head, claims, signature = match(token, "^([%w_-]+)%.([%w_-]+)%.([%w_-]+)$")
    if not head or object(head).alg ~= "HS256" then return nil end
    local made = hmac.new("{SECRET}", "sha256"):final(head .. "." .. claims)
    if made ~= decoded(signature) then return nil end
    claims = object(claims)
    return claims.iss == "{ISSUER}" and tonumber(claims.exp) or nil
end

function check_token()
    local field = ngx.var.http_authorization
    if not field then return ngx.exit(401) end
    local good_until = verified:get(field)
    if not good_until then
        local token = match(field, "^[Bb]earer ([^ ]+)$")
        good_until = token and expiry(token)
        if not good_until then return ngx.exit(401) end
        verified:set(field, good_until)
    end
    if good_until <= ngx.time() then return ngx.exit(401) end
end
