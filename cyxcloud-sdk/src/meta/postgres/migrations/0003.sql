-- Short-lived facts that gateways share: nonces, sessions, revoked tokens. Found by a hash, given up by time.
CREATE TABLE cyx.notes (
    name bytea PRIMARY KEY,
    value bytea NOT NULL,
    expires bigint NOT NULL
);
CREATE INDEX notes_by_expiry ON cyx.notes (expires);

CREATE TABLE cyx.counters (
    name bytea PRIMARY KEY,
    sum bigint NOT NULL,
    expires bigint NOT NULL
);
CREATE INDEX counters_by_expiry ON cyx.counters (expires);
