-- One row for each time that this database was put back from an older copy. Epochs from first to next - 1 were given, or may have been, after the copy was taken.
CREATE TABLE cyx.restores (
    first bigint NOT NULL,
    next bigint PRIMARY KEY,
    at bigint NOT NULL
);
