-- Orders for wrk: each connection buys one unit at a time, each request under a new key.
--
--   KIM=… wrk -t2 -c2000 -d10s --latency -s loadtest/order.lua http://127.0.0.1:8080
--
-- What wrk calls "Non-2xx" are refusals: sold out, over the limit, 503. SKU names the product.

local threads = 0

function setup(thread)
  thread:set("me", threads)
  threads = threads + 1
end

function init()
  started, count = os.time(), 0
  body = string.format('{"lines":[{"sku":"%s","quantity":1}]}', os.getenv("SKU") or "air-90")
  headers = { ["Authorization"] = "Bearer " .. os.getenv("KIM"), ["Content-Type"] = "application/json" }
end

function request()
  count = count + 1
  headers["Idempotency-Key"] = string.format("%d-%d-%d", started, me, count)
  return wrk.format("POST", "/v1/orders", headers, body)
end
