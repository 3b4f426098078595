-- Both in `counter`, because each upload reads and writes that row. The nonce in it is that of version 1 (32 bits) or the
-- sequence number of version 2 (40 bits).

-- The oldest telemetry protocol that the device may speak.
ALTER TABLE counter ADD COLUMN minimum_protocol INTEGER NOT NULL DEFAULT 1;
-- The day (since 1970) on which the device last asked for a new key epoch, and how often it did on that day.
ALTER TABLE counter ADD COLUMN renewal_day INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counter ADD COLUMN renewals INTEGER NOT NULL DEFAULT 0;
