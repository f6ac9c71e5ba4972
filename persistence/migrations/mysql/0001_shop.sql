-- The shop's tables, for MySQL 8.0.16 or later and MariaDB 10.6 or later.
--
-- Written for people to query. Whoever reads them should know:
--   * Everything here follows the journal; nothing but the shop's write-behind may write.
--   * Money is an integer number of won. Times are UTC, to the millisecond.
--   * An order's id is text, as the API shows it: who has an id from a customer's mail
--     can paste it into a query. It costs 20 bytes a row against BINARY(16); being
--     ordered by time (UUID version 7), new rows still go to the end of each index.
--   * Partitions arrive one by one, each in its own order. So there are no foreign keys:
--     a part of a basket may be here before its order is.
--   * Every statement can be run again, since MySQL cannot undo half a migration.

CREATE TABLE IF NOT EXISTS products (
    sku          VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    partition_id INT NOT NULL COMMENT 'who owns the stock',
    name         VARCHAR(200) NOT NULL,
    price        BIGINT NOT NULL COMMENT 'won, for one unit outside a sale',
    supplied     BIGINT NOT NULL COMMENT 'every unit ever received, less those taken out',
    held         BIGINT NOT NULL COMMENT 'units under unpaid orders',
    sold         BIGINT NOT NULL COMMENT 'units under confirmed orders',
    on_hand      BIGINT GENERATED ALWAYS AS (supplied - sold) VIRTUAL,
    available    BIGINT GENERATED ALWAYS AS (supplied - sold - held) VIRTUAL,
    created_at   DATETIME(3) NOT NULL,
    PRIMARY KEY (sku),
    CONSTRAINT products_conserve_units CHECK (supplied >= 0 AND held >= 0 AND sold >= 0 AND supplied - sold - held >= 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS stock_adjustments (
    partition_id INT NOT NULL,
    lsn          BIGINT NOT NULL COMMENT 'the event, in the journal of the partition',
    sku          VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    delta        BIGINT NOT NULL COMMENT 'units added; negative: taken out',
    reason       VARCHAR(200) NOT NULL,
    adjusted_at  DATETIME(3) NOT NULL,
    PRIMARY KEY (partition_id, lsn),
    KEY stock_adjustments_by_product (sku, adjusted_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS sales (
    sku                VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    number             BIGINT NOT NULL COMMENT 'the sale_number of the order lines taken in it',
    opens_at           DATETIME(3) NOT NULL,
    closes_at          DATETIME(3) NOT NULL,
    price              BIGINT NOT NULL COMMENT 'won, for one unit',
    per_customer_limit BIGINT NOT NULL COMMENT 'units',
    changed_at         DATETIME(3) NOT NULL,
    deleted_at         DATETIME(3) NULL COMMENT 'null: in force, whether or not the window is open',
    PRIMARY KEY (sku, number)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS orders (
    id           CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    partition_id INT NOT NULL COMMENT 'the home of the order',
    customer_id  VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    status       VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL
                 COMMENT 'opening (no order yet: partitions are being asked), held, confirmed, cancelled, expired',
    total        BIGINT NOT NULL COMMENT 'won; 0 while opening',
    placed_at    DATETIME(3) NOT NULL,
    expires_at   DATETIME(3) NOT NULL COMMENT 'when a held order gives its units back',
    ended_at     DATETIME(3) NULL COMMENT 'when it was confirmed, cancelled or expired',
    lsn          BIGINT NOT NULL COMMENT 'the last event that changed it, in the journal of its home',
    PRIMARY KEY (id),
    KEY orders_by_customer (customer_id, placed_at, id),
    KEY orders_by_time (placed_at, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- All lines of an order, whichever partition owns them. No index by product: it would
-- cost every order of a flash sale, and reports can afford a scan.
CREATE TABLE IF NOT EXISTS order_lines (
    order_id     CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    sku          VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    quantity     BIGINT NOT NULL COMMENT 'units',
    unit_price   BIGINT NOT NULL COMMENT 'won, when the order was placed',
    sale_number  BIGINT NOT NULL COMMENT 'the sale it was taken in; 0 for none',
    PRIMARY KEY (order_id, sku)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What a partition that is not an order's home holds for it, as that partition says.
CREATE TABLE IF NOT EXISTS part_lines (
    order_id     CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    sku          VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    partition_id INT NOT NULL COMMENT 'who holds it',
    customer_id  VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    quantity     BIGINT NOT NULL COMMENT 'units',
    unit_price   BIGINT NOT NULL COMMENT 'won',
    sale_number  BIGINT NOT NULL COMMENT 'the sale it was taken in; 0 for none',
    status       VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'held, confirmed, released',
    held_at      DATETIME(3) NOT NULL,
    ended_at     DATETIME(3) NULL COMMENT 'when it was confirmed or released',
    PRIMARY KEY (order_id, sku)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Every event of an order, also of a basket that was refused and left no order.
CREATE TABLE IF NOT EXISTS timeline (
    order_id     CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    partition_id INT NOT NULL COMMENT 'whose journal has the event',
    lsn          BIGINT NOT NULL COMMENT 'where in that journal',
    at           DATETIME(3) NOT NULL,
    event        VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    detail       VARCHAR(200) NULL,
    PRIMARY KEY (order_id, partition_id, lsn)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Up to where this database has each partition's journal. Moves in the same transaction
-- as the rows above; never change it by hand.
CREATE TABLE IF NOT EXISTS positions (
    partition_id  INT NOT NULL,
    journal_id    CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'which data folder',
    lsn           BIGINT NOT NULL,
    chain         CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'hash of the history up to here',
    last_event_at DATETIME(3) NULL,
    PRIMARY KEY (partition_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
