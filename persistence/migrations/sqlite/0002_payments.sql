-- How orders are paid and refunded, for SQLite: the same as MySQL's.
--
--   * An order may have several attempts at paying it; one of them at most confirms it.
--   * orders.status also is: paying (its shopper is about to pay), approving (the shopper agreed, the
--     gateway was asked to take the money), refunded (all of its money went back).
--   * What the shopper brought back from the gateway, what return addresses carry, the addresses of
--     payment pages and idempotency keys are in the journal alone: never add a column for one.

CREATE TABLE payments (
    order_id        TEXT NOT NULL CHECK (length(order_id) = 36),
    attempt         INTEGER NOT NULL,           -- from 1
    partition_id    INTEGER NOT NULL,           -- the order's home
    method          TEXT NOT NULL CHECK (length(method) <= 32),
    status          TEXT NOT NULL CHECK (length(status) <= 32), -- preparing, ready, approving; captured, captured_late (goes back); or why nothing was taken
    amount          INTEGER NOT NULL,           -- won, to take
    gateway_ref     TEXT CHECK (length(gateway_ref) <= 64), -- the gateway's name of it (Kakao Pay's tid)
    started_at      TEXT NOT NULL,
    expires_at      TEXT,                       -- when the gateway forgets it
    captured_amount INTEGER,                    -- won, taken
    captured_at     TEXT,                       -- by the gateway's clock
    receipt         TEXT CHECK (length(receipt) <= 200), -- the gateway's name of the capture
    means           TEXT CHECK (length(means) <= 200),   -- what it was paid with, in the gateway's word
    refunded_amount INTEGER NOT NULL,           -- won, given back of what was taken
    answer          TEXT CHECK (length(answer) <= 200),  -- what the gateway said when nothing was taken
    ended_at        TEXT,                       -- when it was captured or ended
    lsn             INTEGER NOT NULL,           -- the last event that changed it, in its home's journal
    PRIMARY KEY (order_id, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE refunds (
    order_id     TEXT NOT NULL CHECK (length(order_id) = 36),
    refund       INTEGER NOT NULL,              -- from 1
    partition_id INTEGER NOT NULL,              -- the order's home
    attempt      INTEGER NOT NULL,              -- the attempt that took the money
    amount       INTEGER,                       -- won; null: the gateway was not asked yet how much there is
    status       TEXT NOT NULL CHECK (length(status) <= 16), -- under_way, done, refused
    reason       TEXT NOT NULL CHECK (length(reason) <= 200),
    restock      INTEGER NOT NULL,              -- 1: its units are for sale again once it is done
    asked        INTEGER NOT NULL,              -- 1: somebody asked for it; 0: money that came late
    requested_at TEXT NOT NULL,
    done_at      TEXT,                          -- when it was done or refused
    receipt      TEXT CHECK (length(receipt) <= 200), -- the gateway's name of it
    lsn          INTEGER NOT NULL,              -- the last event that changed it, in its home's journal
    PRIMARY KEY (order_id, refund)
) STRICT, WITHOUT ROWID;

-- The units that a refund is about; none where money alone goes back.
CREATE TABLE refund_lines (
    order_id TEXT NOT NULL CHECK (length(order_id) = 36),
    refund   INTEGER NOT NULL,
    sku      TEXT NOT NULL CHECK (length(sku) <= 64),
    line     INTEGER NOT NULL,                  -- where it stood in the request, from 1
    quantity INTEGER NOT NULL,                  -- units
    PRIMARY KEY (order_id, refund, sku)
) STRICT, WITHOUT ROWID;

-- Of an event about paying: an operator's act has the event that followed from it as its detail.
ALTER TABLE timeline ADD COLUMN attempt INTEGER;        -- which attempt at paying it is about
ALTER TABLE timeline ADD COLUMN refund INTEGER;         -- which refund
ALTER TABLE timeline ADD COLUMN actor TEXT CHECK (length(actor) <= 64);     -- the operator
ALTER TABLE timeline ADD COLUMN answer TEXT CHECK (length(answer) <= 200);  -- what was answered, or the operator's reason
ALTER TABLE timeline ADD COLUMN next_at TEXT;           -- when the next call is due
