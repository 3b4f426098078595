-- Rotation of the root keys of devices.

-- Orders. scope is all, tag or device; target is the tag or the device's name. What is counted is counted along.
CREATE TABLE key_rotation (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    scope TEXT NOT NULL,
    target TEXT NOT NULL,
    overlap INTEGER NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    offered INTEGER NOT NULL,
    switched INTEGER NOT NULL,
    retired INTEGER NOT NULL
) STRICT;

CREATE INDEX key_rotation_state ON key_rotation (state);

-- What a device was offered last. sealed_key is the new root key; NULL once the device has switched.
CREATE TABLE key_rotation_device (
    device INTEGER PRIMARY KEY REFERENCES device (row),
    rotation INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    sealed_key BLOB,
    offered_at INTEGER NOT NULL,
    switched_at INTEGER
) STRICT;

CREATE INDEX key_rotation_device_of_rotation ON key_rotation_device (rotation, device);

-- Root keys that were replaced, as long as packets under them count. rotation is NULL if no order is known for it.
CREATE TABLE previous_root_key (
    device INTEGER PRIMARY KEY REFERENCES device (row),
    rotation INTEGER,
    epoch INTEGER NOT NULL,
    sealed_key BLOB NOT NULL,
    until INTEGER NOT NULL
) STRICT;

CREATE INDEX previous_root_key_until ON previous_root_key (until);

-- When the root key was rotated last; NULL since it was enrolled.
ALTER TABLE device ADD COLUMN rotated_at INTEGER;
DROP INDEX device_enrolled_at;
CREATE INDEX device_keys_since ON device (coalesce(rotated_at, enrolled_at));
