-- One file per database dialect and version; never edited once released.

CREATE TABLE device (
    row INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    chip TEXT NOT NULL,
    mac BLOB NOT NULL,
    sealed_root_key BLOB NOT NULL,
    nonce_floor INTEGER NOT NULL,
    secure_boot_digest BLOB NOT NULL,
    enrolled_at INTEGER NOT NULL
) STRICT;

-- What every upload writes, apart from what it only reads. last_reading is the head of the device's chain in `reading`.
CREATE TABLE counter (
    device INTEGER PRIMARY KEY REFERENCES device (row),
    epoch INTEGER NOT NULL,
    last_nonce INTEGER NOT NULL,
    last_digest BLOB,
    last_reading INTEGER
) STRICT;

-- Appended in order of arrival and without a second index (random index writes cost 4 to 8 times the append):
-- the readings of one device are found by following `previous`.
CREATE TABLE reading (
    row INTEGER PRIMARY KEY,
    device INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    nonce INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    content BLOB NOT NULL,
    previous INTEGER
) STRICT;

-- version is major, minor and patch as one number, 16 bits each, so that the database orders it as we do.
CREATE TABLE firmware_release (
    id BLOB PRIMARY KEY,
    project TEXT NOT NULL,
    chip TEXT NOT NULL,
    version INTEGER NOT NULL,
    secure_version INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    encrypted_size INTEGER NOT NULL,
    envelope BLOB NOT NULL,
    sealed_content_key BLOB NOT NULL,
    published_at INTEGER,
    UNIQUE (project, chip, version)
) STRICT;

CREATE TABLE update_status (
    row INTEGER PRIMARY KEY,
    device INTEGER NOT NULL REFERENCES device (row),
    report TEXT NOT NULL,
    received_at INTEGER NOT NULL
) STRICT;

CREATE INDEX update_status_of_device ON update_status (device, row);

CREATE TABLE audit (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    subject TEXT NOT NULL,
    event TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
