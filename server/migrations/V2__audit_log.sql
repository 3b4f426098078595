-- The audit log as a Merkle tree. A line's text is what was hashed, in the place `entry`, counted from 0.

CREATE TABLE audit_line (
    entry INTEGER PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;

-- One row: the roots of the perfect trees that the log is made of, its signed checkpoint with the number of entries that
-- it covers, and the checkpoint that was last written to the file beside the database.
CREATE TABLE audit_tree (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    size INTEGER NOT NULL,
    peaks BLOB NOT NULL,
    checkpoint TEXT NOT NULL,
    signed INTEGER,
    kept TEXT NOT NULL
) STRICT;

INSERT INTO audit_tree VALUES (1, 0, x'', '', NULL, '');
