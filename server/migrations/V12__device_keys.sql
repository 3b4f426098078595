-- Public keys that devices sign their tokens with. One key is of one device: a token names none.
CREATE TABLE device_key (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    device INTEGER NOT NULL REFERENCES device (row),
    id BLOB NOT NULL,
    spki BLOB NOT NULL UNIQUE,
    added_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;

CREATE INDEX device_key_device ON device_key (device);
