-- The shop's tables, for SQLite: the same as MySQL's, so that the same queries work.
--
-- Written for people to query. Whoever reads them should know:
--   * Everything here follows the journal; nothing but the shop's write-behind may write.
--   * Money is an integer number of won.
--   * Times are UTC, as text of one fixed form, 'YYYY-MM-DD HH:MM:SS.mmm': people can read
--     it, it sorts by time, SQLite's date functions take it, and it compares with the same
--     literals as MySQL's DATETIME(3). An integer would be 15 bytes shorter and unreadable.
--   * An order's id is text, as the API shows it, ordered by time (UUID version 7).
--   * Partitions arrive one by one, each in its own order. So there are no foreign keys:
--     a part of a basket may be here before its order is.
--   * WITHOUT ROWID keeps each row in its primary key, as MySQL does: one tree to write
--     instead of two.

CREATE TABLE products (
    sku          TEXT NOT NULL PRIMARY KEY CHECK (length(sku) <= 64),
    partition_id INTEGER NOT NULL,              -- who owns the stock
    name         TEXT NOT NULL CHECK (length(name) <= 200),
    price        INTEGER NOT NULL,              -- won, for one unit outside a sale
    supplied     INTEGER NOT NULL,              -- every unit ever received, less those taken out
    held         INTEGER NOT NULL,              -- units under unpaid orders
    sold         INTEGER NOT NULL,              -- units under confirmed orders
    on_hand      INTEGER GENERATED ALWAYS AS (supplied - sold) VIRTUAL,
    available    INTEGER GENERATED ALWAYS AS (supplied - sold - held) VIRTUAL,
    created_at   TEXT NOT NULL,
    CONSTRAINT products_conserve_units CHECK (supplied >= 0 AND held >= 0 AND sold >= 0 AND supplied - sold - held >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE stock_adjustments (
    partition_id INTEGER NOT NULL,
    lsn          INTEGER NOT NULL,              -- the event, in the partition's journal
    sku          TEXT NOT NULL CHECK (length(sku) <= 64),
    delta        INTEGER NOT NULL,              -- units added; negative: taken out
    reason       TEXT NOT NULL CHECK (length(reason) <= 200),
    adjusted_at  TEXT NOT NULL,
    PRIMARY KEY (partition_id, lsn)
) STRICT, WITHOUT ROWID;
CREATE INDEX stock_adjustments_by_product ON stock_adjustments (sku, adjusted_at);

CREATE TABLE sales (
    sku                TEXT NOT NULL CHECK (length(sku) <= 64),
    number             INTEGER NOT NULL,        -- the sale_number of the order lines taken in it
    opens_at           TEXT NOT NULL,
    closes_at          TEXT NOT NULL,
    price              INTEGER NOT NULL,        -- won, for one unit
    per_customer_limit INTEGER NOT NULL,        -- units
    changed_at         TEXT NOT NULL,
    deleted_at         TEXT,                    -- null: in force, whether or not the window is open
    PRIMARY KEY (sku, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE orders (
    id           TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 36),
    partition_id INTEGER NOT NULL,              -- the order's home
    customer_id  TEXT NOT NULL CHECK (length(customer_id) <= 64),
    status       TEXT NOT NULL,                 -- opening (no order yet), held, confirmed, cancelled, expired
    total        INTEGER NOT NULL,              -- won; 0 while opening
    placed_at    TEXT NOT NULL,
    expires_at   TEXT NOT NULL,                 -- when a held order gives its units back
    ended_at     TEXT,                          -- when it was confirmed, cancelled or expired
    lsn          INTEGER NOT NULL               -- the last event that changed it, in its home's journal
) STRICT, WITHOUT ROWID;
CREATE INDEX orders_by_customer ON orders (customer_id, placed_at, id);
CREATE INDEX orders_by_time ON orders (placed_at, id);

-- All lines of an order, whichever partition owns them. No index by product: it would
-- cost every order of a flash sale, and reports can afford a scan.
CREATE TABLE order_lines (
    order_id     TEXT NOT NULL CHECK (length(order_id) = 36),
    sku          TEXT NOT NULL CHECK (length(sku) <= 64),
    quantity     INTEGER NOT NULL,              -- units
    unit_price   INTEGER NOT NULL,              -- won, when the order was placed
    sale_number  INTEGER NOT NULL,              -- the sale it was taken in; 0 for none
    PRIMARY KEY (order_id, sku)
) STRICT, WITHOUT ROWID;

-- What a partition that is not an order's home holds for it, as that partition says.
CREATE TABLE part_lines (
    order_id     TEXT NOT NULL CHECK (length(order_id) = 36),
    sku          TEXT NOT NULL CHECK (length(sku) <= 64),
    partition_id INTEGER NOT NULL,              -- who holds it
    customer_id  TEXT NOT NULL CHECK (length(customer_id) <= 64),
    quantity     INTEGER NOT NULL,              -- units
    unit_price   INTEGER NOT NULL,              -- won
    sale_number  INTEGER NOT NULL,              -- the sale it was taken in; 0 for none
    status       TEXT NOT NULL,                 -- held, confirmed, released
    held_at      TEXT NOT NULL,
    ended_at     TEXT,                          -- when it was confirmed or released
    PRIMARY KEY (order_id, sku)
) STRICT, WITHOUT ROWID;

-- Every event of an order, also of a basket that was refused and left no order.
CREATE TABLE timeline (
    order_id     TEXT NOT NULL CHECK (length(order_id) = 36),
    partition_id INTEGER NOT NULL,              -- whose journal has the event
    lsn          INTEGER NOT NULL,              -- where in that journal
    at           TEXT NOT NULL,
    event        TEXT NOT NULL,
    detail       TEXT,
    PRIMARY KEY (order_id, partition_id, lsn)
) STRICT, WITHOUT ROWID;

-- Up to where this database has each partition's journal. Moves in the same transaction
-- as the rows above; never change it by hand.
CREATE TABLE positions (
    partition_id  INTEGER NOT NULL PRIMARY KEY,
    journal_id    TEXT NOT NULL,                -- which data folder
    lsn           INTEGER NOT NULL,
    chain         TEXT NOT NULL,                -- hash of the history up to here
    last_event_at TEXT
) STRICT;
