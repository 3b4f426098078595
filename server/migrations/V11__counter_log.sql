-- The counters of accepted packets, appended by each transaction: `counter` knows them only once they are folded into it.
-- row is that of the newest reading that came with it; entries is documented in `store/sqlite/counters.rs`.
CREATE TABLE counter_log (
    row INTEGER PRIMARY KEY,
    entries BLOB NOT NULL
) STRICT;

-- A server from before, which may still run on this database, would not look into the log, and take packets in again. Now
-- it finds no such column, and takes none.
ALTER TABLE counter RENAME COLUMN last_nonce TO folded_nonce;
