-- How orders are paid and refunded, for MySQL and MariaDB.
--
--   * An order may have several attempts at paying it; one of them at most confirms it.
--   * What the shopper brought back from the gateway, what return addresses carry, the addresses of
--     payment pages and idempotency keys are in the journal alone: never add a column for one.
--   * Every statement can be run again, as in the first migration.

CREATE TABLE IF NOT EXISTS payments (
    order_id        CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    attempt         BIGINT NOT NULL COMMENT 'from 1',
    partition_id    INT NOT NULL COMMENT 'the home of the order',
    method          VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    status          VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL
                    COMMENT 'preparing, ready, approving; captured, captured_late (goes back); or why nothing was taken',
    amount          BIGINT NOT NULL COMMENT 'won, to take',
    gateway_ref     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL
                    COMMENT 'what the gateway calls it (the tid of Kakao Pay)',
    started_at      DATETIME(3) NOT NULL,
    expires_at      DATETIME(3) NULL COMMENT 'when the gateway forgets it',
    captured_amount BIGINT NULL COMMENT 'won, taken',
    captured_at     DATETIME(3) NULL COMMENT 'by the clock of the gateway',
    receipt         VARCHAR(200) NULL COMMENT 'what the gateway calls the capture',
    means           VARCHAR(200) NULL COMMENT 'what it was paid with, in the word of the gateway',
    refunded_amount BIGINT NOT NULL COMMENT 'won, given back of what was taken',
    answer          VARCHAR(200) NULL COMMENT 'what the gateway said when nothing was taken',
    ended_at        DATETIME(3) NULL COMMENT 'when it was captured or ended',
    lsn             BIGINT NOT NULL COMMENT 'the last event that changed it, in the journal of its home',
    PRIMARY KEY (order_id, attempt)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS refunds (
    order_id     CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    refund       BIGINT NOT NULL COMMENT 'from 1',
    partition_id INT NOT NULL COMMENT 'the home of the order',
    attempt      BIGINT NOT NULL COMMENT 'the attempt that took the money',
    amount       BIGINT NULL COMMENT 'won; null: the gateway was not asked yet how much there is',
    status       VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'under_way, done, refused',
    reason       VARCHAR(200) NOT NULL,
    restock      BIGINT NOT NULL COMMENT '1: its units are for sale again once it is done',
    asked        BIGINT NOT NULL COMMENT '1: somebody asked for it; 0: money that came late',
    requested_at DATETIME(3) NOT NULL,
    done_at      DATETIME(3) NULL COMMENT 'when it was done or refused',
    receipt      VARCHAR(200) NULL COMMENT 'what the gateway calls it',
    lsn          BIGINT NOT NULL COMMENT 'the last event that changed it, in the journal of its home',
    PRIMARY KEY (order_id, refund)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The units that a refund is about; none where money alone goes back.
CREATE TABLE IF NOT EXISTS refund_lines (
    order_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    refund   BIGINT NOT NULL,
    sku      VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    line     BIGINT NOT NULL COMMENT 'where it stood in the request, from 1',
    quantity BIGINT NOT NULL COMMENT 'units',
    PRIMARY KEY (order_id, refund, sku)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

ALTER TABLE orders MODIFY COLUMN status VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL
    COMMENT 'opening (no order yet: partitions are being asked), held, paying (its shopper is about to pay), approving (the shopper agreed, the gateway was asked), confirmed, cancelled, expired, refunded';

-- Only MariaDB can add a column "if not exists". One statement adds all of them or none, so one of
-- them tells whether it was run.
SET @add_columns = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'timeline' AND column_name = 'next_at') > 0,
    'DO 0',
    'ALTER TABLE timeline
        ADD COLUMN attempt BIGINT NULL COMMENT ''which attempt at paying it is about'',
        ADD COLUMN refund  BIGINT NULL COMMENT ''which refund it is about'',
        ADD COLUMN actor   VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL COMMENT ''the operator'',
        ADD COLUMN answer  VARCHAR(200) NULL COMMENT ''what was answered, or the reason of the operator'',
        ADD COLUMN next_at DATETIME(3) NULL COMMENT ''when the next call is due''');
PREPARE add_columns FROM @add_columns;
EXECUTE add_columns;
DEALLOCATE PREPARE add_columns;
