-- Tables in schema cyx: compact, and nobody's business but the driver's. Times are milliseconds since 1970 by this server's clock.
CREATE TABLE cyx.cluster (
    singleton smallint PRIMARY KEY CHECK (singleton = 1),
    -- Random, so that whoever is connected to another database than before notices it.
    id uuid NOT NULL,
    last_epoch bigint NOT NULL
);
INSERT INTO cyx.cluster (singleton, id, last_epoch) VALUES (1, gen_random_uuid(), 0);

CREATE TABLE cyx.leases (
    epoch bigint PRIMARY KEY,
    expires bigint NOT NULL
);

CREATE TABLE cyx.buckets (
    id bytea PRIMARY KEY,
    name text NOT NULL COLLATE "C" UNIQUE,
    owner bytea NOT NULL,
    created bigint NOT NULL
);
CREATE INDEX buckets_by_owner ON cyx.buckets (owner, name);

-- What a bucket holds is the sum over its slots: writers of one bucket do not wait for each other.
CREATE TABLE cyx.usage (
    bucket bytea NOT NULL,
    slot smallint NOT NULL,
    objects bigint NOT NULL,
    object_bytes bigint NOT NULL,
    part_bytes bigint NOT NULL,
    trash_bytes bigint NOT NULL,
    PRIMARY KEY (bucket, slot)
);

-- An object has its bytes (inline) or a list of chunks: 36 bytes each, the id and the length in big endian.
CREATE TABLE cyx.objects (
    bucket bytea NOT NULL,
    key bytea NOT NULL,
    version bytea NOT NULL,
    size bigint NOT NULL,
    etag text NOT NULL,
    modified bigint NOT NULL,
    metadata json NOT NULL,
    inline bytea,
    chunks bytea,
    PRIMARY KEY (bucket, key),
    CHECK ((inline IS NULL) <> (chunks IS NULL))
);

CREATE TABLE cyx.trash (
    bucket bytea NOT NULL,
    key bytea NOT NULL,
    version bytea NOT NULL,
    size bigint NOT NULL,
    etag text NOT NULL,
    modified bigint NOT NULL,
    metadata json NOT NULL,
    inline bytea,
    chunks bytea,
    deleted bigint NOT NULL,
    PRIMARY KEY (bucket, key, version)
);
CREATE INDEX trash_by_deletion ON cyx.trash (deleted);

CREATE TABLE cyx.uploads (
    id bytea PRIMARY KEY,
    bucket bytea NOT NULL,
    key bytea NOT NULL,
    created bigint NOT NULL,
    metadata json NOT NULL
);
CREATE INDEX uploads_by_key ON cyx.uploads (bucket, key, id);

CREATE TABLE cyx.parts (
    upload bytea NOT NULL,
    number integer NOT NULL,
    version bytea NOT NULL,
    size bigint NOT NULL,
    etag text NOT NULL,
    modified bigint NOT NULL,
    system json NOT NULL,
    chunks bytea NOT NULL,
    PRIMARY KEY (upload, number)
);

-- Nodes get numbers, given once, so that a chunk names its fourteen in 28 to 80 bytes.
CREATE TABLE cyx.node_numbers (
    number integer PRIMARY KEY,
    id bytea NOT NULL UNIQUE
);

-- `roots` are those of the shards behind each other. Copy i lies on node nodes[i] and is of shard shards[i], or of shard i where shards is NULL.
CREATE TABLE cyx.chunks (
    id bytea PRIMARY KEY,
    refs bigint NOT NULL CHECK (refs >= 0),
    size integer NOT NULL,
    data smallint NOT NULL,
    parity smallint NOT NULL,
    dead_since bigint,
    fence bigint,
    roots bytea NOT NULL,
    nodes integer[] NOT NULL,
    shards smallint[]
);
CREATE INDEX chunks_dead ON cyx.chunks (id, dead_since) WHERE dead_since IS NOT NULL;
-- What waits to be sorted into it is bounded, as it counts towards what a GiB takes.
CREATE INDEX chunks_by_node ON cyx.chunks USING gin (nodes) WITH (gin_pending_list_limit = 256);

-- Hashes do not compress.
ALTER TABLE cyx.objects ALTER COLUMN inline SET STORAGE EXTERNAL, ALTER COLUMN chunks SET STORAGE EXTERNAL;
ALTER TABLE cyx.trash ALTER COLUMN inline SET STORAGE EXTERNAL, ALTER COLUMN chunks SET STORAGE EXTERNAL;
ALTER TABLE cyx.parts ALTER COLUMN chunks SET STORAGE EXTERNAL;
ALTER TABLE cyx.chunks ALTER COLUMN roots SET STORAGE EXTERNAL;

CREATE TABLE cyx.jobs (
    chunk bytea PRIMARY KEY,
    priority bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'in_progress', 'completed', 'failed')),
    epoch bigint CHECK ((epoch IS NOT NULL) = (state = 'in_progress')),
    attempts bigint NOT NULL,
    not_before bigint NOT NULL,
    updated bigint NOT NULL,
    failure text NOT NULL
);
CREATE INDEX jobs_open ON cyx.jobs (priority, chunk) WHERE state IN ('pending', 'in_progress');
CREATE INDEX jobs_ended ON cyx.jobs (updated) WHERE state IN ('completed', 'failed');

CREATE TABLE cyx.access_keys (
    id text COLLATE "C" PRIMARY KEY,
    account bytea NOT NULL,
    name text NOT NULL,
    sealed_secret bytea NOT NULL,
    created bigint NOT NULL
);

CREATE TABLE cyx.nodes (
    id bytea PRIMARY KEY,
    name text NOT NULL COLLATE "C" UNIQUE,
    host text NOT NULL,
    operator text NOT NULL,
    subnet text NOT NULL,
    region text NOT NULL,
    address text,
    public_key bytea,
    capacity bigint,
    reserved bigint
);

CREATE TABLE cyx.node_statuses (
    node bytea PRIMARY KEY,
    state text NOT NULL,
    since bigint NOT NULL,
    last_heartbeat bigint NOT NULL,
    drain_requested boolean NOT NULL,
    maintenance_until bigint,
    failures bigint NOT NULL
);
