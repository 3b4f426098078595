-- Since when each key of the server is in use. Fingerprints only; the last one noted of a name is the one in use.

CREATE TABLE key_seen (
    name TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    since INTEGER NOT NULL,
    noted INTEGER NOT NULL,
    PRIMARY KEY (name, fingerprint)
) STRICT;

-- Devices whose keys are old are counted.
CREATE INDEX device_enrolled_at ON device (enrolled_at);
