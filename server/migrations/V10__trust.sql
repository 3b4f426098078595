-- Trust statements: whose firmware devices take. Number 0 is the configuration; it has no row. beginning is a digest of it,
-- as it was when the statement was planned.

CREATE TABLE trust_statement (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    number INTEGER NOT NULL,
    beginning BLOB NOT NULL,
    statement BLOB NOT NULL,
    state TEXT NOT NULL,
    share INTEGER NOT NULL,
    days INTEGER NOT NULL,
    handed INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX trust_statement_number ON trust_statement (number) WHERE state <> 'cancelled';

-- Devices at which numbers would believe a release.
CREATE TABLE release_trust (
    release BLOB NOT NULL REFERENCES firmware_release (id),
    number INTEGER NOT NULL,
    PRIMARY KEY (release, number)
) STRICT, WITHOUT ROWID;

INSERT INTO release_trust (release, number) SELECT id, 0 FROM firmware_release;

-- Secure Boot keys that signed the image of a release; of releases from before nothing is known.
CREATE TABLE release_secure_boot (
    release BLOB NOT NULL REFERENCES firmware_release (id),
    digest BLOB NOT NULL,
    PRIMARY KEY (release, digest)
) STRICT, WITHOUT ROWID;

-- What a device said last; one that never said anything is at number 0.
CREATE TABLE device_trust (
    device INTEGER PRIMARY KEY REFERENCES device (row),
    number INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    lowered_at INTEGER
) STRICT;

-- Counted along, so that no poll has to count the fleet.
CREATE TABLE trust_tally (
    number INTEGER PRIMARY KEY,
    devices INTEGER NOT NULL
) STRICT;

INSERT INTO trust_tally (number, devices) SELECT 0, count(*) FROM device;
