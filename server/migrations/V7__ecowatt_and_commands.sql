-- EcoWatt devices (compatibility profile). history, last_at and recent are what their next blobs are read with;
-- last_array is the head of the device's chain in ecowatt_array.
CREATE TABLE ecowatt_device (
    row INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- NULL: switched off.
    sealed_key BLOB,
    fingerprint BLOB NOT NULL,
    added_at INTEGER NOT NULL,
    last_nonce INTEGER NOT NULL,
    history BLOB NOT NULL,
    last_at INTEGER NOT NULL,
    recent BLOB NOT NULL,
    last_array INTEGER
) STRICT;

-- SHA-256 of every key that any device ever had: none is used twice, so no nonce counts twice.
CREATE TABLE ecowatt_key (
    fingerprint BLOB PRIMARY KEY
) STRICT;

-- content is NULL where the blob was refused; refusal says why.
CREATE TABLE ecowatt_array (
    row INTEGER PRIMARY KEY,
    nonce INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    at INTEGER NOT NULL,
    interval INTEGER NOT NULL,
    registers BLOB NOT NULL,
    blob BLOB NOT NULL,
    content BLOB,
    refusal TEXT NOT NULL,
    previous INTEGER
) STRICT;

-- The latest accepted texts of each device, as they were signed.
CREATE TABLE ecowatt_text (
    row INTEGER PRIMARY KEY,
    device INTEGER NOT NULL REFERENCES ecowatt_device (row),
    nonce INTEGER NOT NULL,
    inner BLOB NOT NULL
) STRICT;

CREATE INDEX ecowatt_text_of_device ON ecowatt_text (device, row);

-- Commands to devices. state: 0 open, 1 cancelled, 2 and above the outcome that the device reported, plus 2.
CREATE TABLE command (
    row INTEGER PRIMARY KEY,
    device INTEGER NOT NULL REFERENCES device (row),
    epoch INTEGER NOT NULL,
    counter INTEGER NOT NULL,
    content BLOB NOT NULL,
    queued_at INTEGER NOT NULL,
    queued_by TEXT NOT NULL,
    expires INTEGER NOT NULL,
    delivered_at INTEGER,
    state INTEGER NOT NULL,
    finished_at INTEGER,
    detail TEXT NOT NULL,
    UNIQUE (device, counter)
) STRICT;

-- The counter of the last command to each device: it only rises, also when keys change.
CREATE TABLE command_counter (
    device INTEGER PRIMARY KEY REFERENCES device (row),
    last INTEGER NOT NULL
) STRICT;
