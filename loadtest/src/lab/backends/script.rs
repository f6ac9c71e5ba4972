//! The Lua script that sells in Redis, and the keys that it works on: the same whoever calls it.

/// Units left of the product.
pub const STOCK: &str = "lab:stock";
/// The stream of orders.
pub const ORDERS: &str = "lab:orders";

/// Takes a unit and writes the order, in one step; 1 when there was one, else 0.
pub const TAKE: &str = "local left = tonumber(redis.call('GET', KEYS[1]) or '0') \
     if left < 1 then return 0 end \
     redis.call('DECR', KEYS[1]) \
     redis.call('XADD', KEYS[2], '*', 'sku', 'air', 'quantity', '1', 'buyer', ARGV[1]) \
     return 1";
