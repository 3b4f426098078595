-- Who operates the server. Only hashes of tokens.

CREATE TABLE admin_token (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    added_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;
