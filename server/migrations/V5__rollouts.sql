-- Rollouts: which devices are offered which release, and how far they are.

CREATE TABLE device_tag (
    device INTEGER NOT NULL REFERENCES device (row),
    tag TEXT NOT NULL,
    PRIMARY KEY (device, tag)
) STRICT, WITHOUT ROWID;

-- What a device said last that it runs; a device asks and reports only what it has confirmed, so an older one is a rollback.
CREATE TABLE device_firmware (
    device INTEGER PRIMARY KEY REFERENCES device (row),
    version INTEGER NOT NULL,
    secure_version INTEGER NOT NULL,
    said_at INTEGER NOT NULL,
    rolled_back_at INTEGER
) STRICT;

-- plan is the JSON of `rollout::plan`, never changed. stage counts from 0.
CREATE TABLE rollout (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    release BLOB NOT NULL REFERENCES firmware_release (id),
    plan TEXT NOT NULL,
    state TEXT NOT NULL,
    stage INTEGER NOT NULL,
    reason TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;

CREATE INDEX rollout_of_release ON rollout (release);

-- Counted along, so that no report has to count a whole stage.
CREATE TABLE rollout_stage (
    rollout INTEGER NOT NULL REFERENCES rollout (row),
    stage INTEGER NOT NULL,
    offered INTEGER NOT NULL,
    installed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    PRIMARY KEY (rollout, stage)
) STRICT, WITHOUT ROWID;

-- One row for each device that was offered something. progress: bytes of the artifact that it has fetched at least.
CREATE TABLE rollout_device (
    device INTEGER NOT NULL REFERENCES device (row),
    rollout INTEGER NOT NULL REFERENCES rollout (row),
    stage INTEGER NOT NULL,
    state TEXT NOT NULL,
    progress INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    reason TEXT NOT NULL,
    offered_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (device, rollout)
) STRICT, WITHOUT ROWID;

CREATE INDEX rollout_device_of_rollout ON rollout_device (rollout, device);

-- What is published already is a rollout to everybody.
INSERT INTO rollout (release, plan, state, stage, reason, created_at, changed_at)
    SELECT id,
           '{"stages":[{"percent":100.0,"success":100,"failure":100,"on_failure":"pause","reports":4294967295}],"conditions":{},"attempts":0}',
           'finished', 0, 'published', published_at, published_at
    FROM firmware_release WHERE published_at IS NOT NULL ORDER BY published_at, version;

INSERT INTO rollout_stage (rollout, stage, offered, installed, failed) SELECT row, 0, 0, 0, 0 FROM rollout;
