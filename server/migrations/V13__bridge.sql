-- What devices say and are told over MQTT. Messages and configurations of a device are numbered from 1; of each kind the
-- latest are kept.
CREATE TABLE bridge_message (
    device INTEGER NOT NULL REFERENCES device (row),
    number INTEGER NOT NULL,
    folder TEXT NOT NULL,
    payload BLOB NOT NULL,
    received_at INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX bridge_message_number ON bridge_message (device, number);

CREATE TABLE bridge_state (
    device INTEGER NOT NULL REFERENCES device (row),
    number INTEGER NOT NULL,
    payload BLOB NOT NULL,
    received_at INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX bridge_state_number ON bridge_state (device, number);

CREATE TABLE bridge_config (
    device INTEGER NOT NULL REFERENCES device (row),
    version INTEGER NOT NULL,
    payload BLOB NOT NULL,
    set_at INTEGER NOT NULL,
    set_by TEXT NOT NULL,
    acknowledged_at INTEGER
) STRICT;

CREATE UNIQUE INDEX bridge_config_version ON bridge_config (device, version);

-- Devices that bring others, and which they may bring without a token of theirs.
CREATE TABLE bridge_gateway (
    device INTEGER PRIMARY KEY REFERENCES device (row)
) STRICT;

CREATE TABLE bridge_binding (
    gateway INTEGER NOT NULL REFERENCES bridge_gateway (device),
    device INTEGER NOT NULL REFERENCES device (row),
    PRIMARY KEY (gateway, device)
) STRICT, WITHOUT ROWID;
