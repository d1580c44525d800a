//! Every statement, so that one test can see that each finds its rows by an index.
//!
//! The store's clock is the server's; a parameter that is not null stands in for it in tests.

/// The time: parameter `$n`, or the server's clock.
macro_rules! now {
    ($n:literal) => {
        concat!("coalesce($", $n, "::bigint, (extract(epoch FROM statement_timestamp()) * 1000)::bigint)")
    };
}

macro_rules! statements {
    ($($name:ident = $sql:expr;)+) => {
        $(pub(super) const $name: &str = $sql;)+
        #[cfg(test)]
        pub(super) const ALL: &[(&str, &str)] = &[$((stringify!($name), $sql)),+];
    };
}

/// What a row of `usage` shows at the time.
macro_rules! metered {
    ($now:expr) => {
        concat!("u.byte_ms + (u.object_bytes + u.part_bytes + u.trash_bytes)::numeric * greatest(0, ", $now, " - u.since)")
    };
}

/// Whether some shard of what is brought along has no copy. Without `shards` its copies are in the order of their shards.
macro_rules! lacks_shards {
    () => {
        "CASE WHEN excluded.shards IS NULL THEN cardinality(excluded.nodes) ELSE (SELECT count(DISTINCT shard) FROM unnest(excluded.shards) AS shard) END
            < excluded.data + excluded.parity"
    };
}

/// The quota of the bucket's owner, if he has one, until the transaction ends.
macro_rules! lock_quota {
    ($bucket:literal) => {
        concat!(
            "SELECT 1 FROM cyx.buckets b JOIN cyx.accounts a ON a.id = b.owner WHERE b.id = ",
            $bucket,
            " AND a.quota IS NOT NULL FOR UPDATE OF a"
        )
    };
}

/// What counts against the quota of the bucket's owner, apart from what the lease `$3` has reserved. Bucket by bucket (OFFSET 0): few of all there are.
macro_rules! counted {
    ($bucket:literal) => {
        concat!(
            "SELECT a.id, a.quota, (SELECT coalesce(sum(u.bytes), 0)::bigint FROM cyx.buckets o CROSS JOIN LATERAL
                (SELECT object_bytes + part_bytes + trash_bytes AS bytes FROM cyx.usage WHERE bucket = o.id OFFSET 0) u WHERE o.owner = a.id),
            (SELECT coalesce(sum(l.reserved), 0)::bigint FROM cyx.leases l
                WHERE l.account = a.id AND l.reserved > 0 AND l.epoch <> $3 AND l.expires >= ",
            now!(1),
            ")
        FROM cyx.buckets b JOIN cyx.accounts a ON a.id = b.owner WHERE b.id = ",
            $bucket,
            " AND a.quota IS NOT NULL"
        )
    };
}

macro_rules! head {
    () => {
        "key, version, size, etag, modified, metadata"
    };
}

macro_rules! job {
    () => {
        "chunk, priority, state, epoch, attempts, not_before, updated, failure"
    };
}

macro_rules! chunk {
    () => {
        "id, size, data, parity, roots, nodes, shards"
    };
}

statements! {
    CLUSTER = "SELECT replace(id::text, '-', '') FROM cyx.cluster WHERE singleton = 1";
    NOW = concat!("SELECT ", now!(1));

    INSERT_BUCKET = "INSERT INTO cyx.buckets (id, name, owner, created, data, parity, chunk_size, write_quorum)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
    BUCKET_BY_NAME = "SELECT id, name, owner, created, data, parity, chunk_size, write_quorum FROM cyx.buckets WHERE name = $1";
    BUCKETS_BY_OWNER = "SELECT id, name, owner, created, data, parity, chunk_size, write_quorum
        FROM cyx.buckets WHERE owner = $1 ORDER BY name";
    SET_BUCKET_SETTINGS = "UPDATE cyx.buckets SET data = $2, parity = $3, chunk_size = $4, write_quorum = $5 WHERE id = $1";
    // Held against its deletion until the transaction ends.
    HOLD_BUCKET = "SELECT owner FROM cyx.buckets WHERE id = $1 FOR KEY SHARE";
    LOCK_BUCKET = "SELECT 1 FROM cyx.buckets WHERE id = $1 FOR UPDATE";
    BUCKET_IS_USED = "SELECT 1 FROM cyx.objects WHERE bucket = $1 ORDER BY key LIMIT 1";
    BUCKET_UPLOADS = "SELECT id FROM cyx.uploads WHERE bucket = $1";
    DELETE_BUCKET = "DELETE FROM cyx.buckets WHERE id = $1";

    CHANGE_USAGE = concat!("INSERT INTO cyx.usage AS u (bucket, slot, objects, object_bytes, part_bytes, trash_bytes, since)
        VALUES ($2, $3, $4, $5, $6, $7, ", now!(1), ")
        ON CONFLICT (bucket, slot) DO UPDATE SET objects = u.objects + excluded.objects, object_bytes = u.object_bytes + excluded.object_bytes,
            part_bytes = u.part_bytes + excluded.part_bytes, trash_bytes = u.trash_bytes + excluded.trash_bytes,
            byte_ms = ", metered!("excluded.since"), ", since = greatest(u.since, excluded.since)");
    USAGE = "SELECT coalesce(sum(objects), 0)::bigint, coalesce(sum(object_bytes), 0)::bigint, coalesce(sum(part_bytes), 0)::bigint,
            coalesce(sum(trash_bytes), 0)::bigint
        FROM cyx.buckets b LEFT JOIN cyx.usage u ON u.bucket = b.id WHERE b.id = $1 GROUP BY b.id";
    DELETE_USAGE = "DELETE FROM cyx.usage WHERE bucket = $1";

    ACCOUNT_USAGE = concat!("SELECT coalesce(sum(u.objects), 0)::bigint, coalesce(sum(u.object_bytes), 0)::bigint, coalesce(sum(u.part_bytes), 0)::bigint,
            coalesce(sum(u.trash_bytes), 0)::bigint, (SELECT a.quota FROM cyx.accounts a WHERE a.id = $2),
            (SELECT coalesce(sum(l.reserved), 0)::bigint FROM cyx.leases l WHERE l.account = $2 AND l.reserved > 0 AND l.expires >= ", now!(1), "),
            (greatest(0, coalesce(sum(", metered!(now!(1)), "), 0)) + coalesce((SELECT a.byte_ms FROM cyx.accounts a WHERE a.id = $2), 0))::text
        FROM cyx.buckets b CROSS JOIN LATERAL (SELECT * FROM cyx.usage WHERE bucket = b.id OFFSET 0) u WHERE b.owner = $2");
    SET_QUOTA = "INSERT INTO cyx.accounts (id, quota) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET quota = excluded.quota";
    LOCK_QUOTA = lock_quota!("$1");
    COUNTED = counted!("$2");
    LOCK_QUOTA_OF_UPLOAD = lock_quota!("(SELECT bucket FROM cyx.uploads WHERE id = $1)");
    COUNTED_OF_UPLOAD = counted!("(SELECT bucket FROM cyx.uploads WHERE id = $2)");
    RESERVE = concat!("UPDATE cyx.leases SET account = $3, reserved = $4 WHERE epoch = $2 AND expires >= ", now!(1));
    // What the meter of a bucket shows that goes.
    KEEP_METER = concat!("INSERT INTO cyx.accounts AS a (id, byte_ms)
        SELECT b.owner, greatest(0, coalesce(sum(", metered!(now!(1)), "), 0)) FROM cyx.buckets b LEFT JOIN cyx.usage u ON u.bucket = b.id WHERE b.id = $2 GROUP BY b.owner
        ON CONFLICT (id) DO UPDATE SET byte_ms = a.byte_ms + excluded.byte_ms");

    // The counter's row is locked until the leases are committed, so that epochs become visible in their order: see `leases.rs`.
    BEGIN_LEASES = concat!("WITH given AS (UPDATE cyx.cluster SET last_epoch = last_epoch + cardinality($2::bigint[]) WHERE singleton = 1
            RETURNING last_epoch - cardinality($2::bigint[]) AS before)
        INSERT INTO cyx.leases (epoch, expires) SELECT before + n, t.now + least(ttl, 9223372036854775807 - t.now)
        FROM given, unnest($2::bigint[]) WITH ORDINALITY AS wanted (ttl, n), (SELECT ", now!(1), " AS now) t RETURNING epoch, expires");
    LIVE_LEASE = concat!("SELECT epoch, expires FROM cyx.leases WHERE epoch = $2 AND expires >= ", now!(1));
    // Held against the fence until the transaction ends.
    HOLD_LEASE = concat!("SELECT epoch, expires FROM cyx.leases WHERE epoch = $2 AND expires >= ", now!(1), " FOR SHARE");
    SPEND_LEASE = concat!("DELETE FROM cyx.leases WHERE epoch = $2 AND expires >= ", now!(1));
    RENEW_LEASE = concat!("UPDATE cyx.leases SET expires = t.now + least($3, 9223372036854775807 - t.now) FROM (SELECT ", now!(1),
        " AS now) t WHERE epoch = $2 AND expires >= t.now RETURNING epoch, expires");
    DELETE_LEASE = "DELETE FROM cyx.leases WHERE epoch = $1";
    DELETE_EXPIRED_LEASES = concat!("DELETE FROM cyx.leases WHERE expires < ", now!(1));
    DELETE_ALL_LEASES = "DELETE FROM cyx.leases";
    LOCK_COUNTER = "SELECT last_epoch FROM cyx.cluster WHERE singleton = 1 FOR UPDATE";
    SET_COUNTER = "UPDATE cyx.cluster SET last_epoch = $1 WHERE singleton = 1";
    INSERT_RESTORE = "INSERT INTO cyx.restores (first, next, at) VALUES ($1, $2, $3)";
    NEWEST_RESTORE = "SELECT coalesce(max(at), 0) FROM cyx.restores";
    RESTORES = "SELECT first, next, at FROM cyx.restores ORDER BY next";
    FENCE = "SELECT coalesce((SELECT min(epoch) FROM cyx.leases), last_epoch + 1) FROM cyx.cluster WHERE singleton = 1";

    OBJECT = concat!("SELECT ", head!(), ", inline, chunks FROM cyx.objects WHERE bucket = $1 AND key = $2");
    // Without columns where it is the version that is known, no row where there is no object: in one snapshot.
    OBJECT_UNLESS = "SELECT o.key, o.version, o.size, o.etag, o.modified, o.metadata, o.inline, o.chunks FROM cyx.objects there
        LEFT JOIN cyx.objects o ON o.bucket = there.bucket AND o.key = there.key AND o.version <> $3 WHERE there.bucket = $1 AND there.key = $2";
    HOLD_SOURCE = concat!("SELECT ", head!(), ", inline, chunks FROM cyx.objects WHERE bucket = $1 AND key = $2 FOR SHARE");
    LOCK_SOURCE = concat!("SELECT ", head!(), ", inline, chunks FROM cyx.objects WHERE bucket = $1 AND key = $2 FOR UPDATE");
    LOCK_OBJECT = "SELECT etag, version, inline, chunks FROM cyx.objects WHERE bucket = $1 AND key = $2 FOR UPDATE";
    INSERT_OBJECT = "INSERT INTO cyx.objects (bucket, key, version, size, etag, modified, metadata, inline, chunks)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    UPDATE_OBJECT = "UPDATE cyx.objects SET version = $3, size = $4, etag = $5, modified = $6, metadata = $7, inline = $8, chunks = $9
        WHERE bucket = $1 AND key = $2";
    DELETE_OBJECT = "DELETE FROM cyx.objects WHERE bucket = $1 AND key = $2";
    SCAN_OBJECTS = concat!("SELECT ", head!(), " FROM cyx.objects WHERE bucket = $1 AND key >= $2 AND key < $3 ORDER BY key LIMIT $4");

    TRASH_OBJECT = concat!("INSERT INTO cyx.trash (bucket, ", head!(), ", inline, chunks, deleted)
        SELECT bucket, ", head!(), ", inline, chunks, ", now!(1), " FROM cyx.objects WHERE bucket = $2 AND key = $3 ON CONFLICT DO NOTHING");
    LOCK_TRASHED = concat!("SELECT ", head!(), ", inline, chunks FROM cyx.trash WHERE bucket = $1 AND key = $2 AND version = $3 FOR UPDATE");
    DELETE_TRASHED = "DELETE FROM cyx.trash t USING unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS old (bucket, key, version)
        WHERE t.bucket = old.bucket AND t.key = old.key AND t.version = old.version";
    SCAN_TRASH = concat!("SELECT ", head!(), ", deleted FROM cyx.trash
        WHERE bucket = $1 AND (key, version) > ($2, $3) AND key < $4 ORDER BY key, version LIMIT $5");
    OLD_TRASH = concat!("SELECT bucket, key, version, inline, chunks FROM cyx.trash
        WHERE deleted <= ", now!(1), " - $2 ORDER BY deleted LIMIT $3 FOR UPDATE SKIP LOCKED");
    BUCKET_TRASH = "SELECT bucket, key, version, inline, chunks FROM cyx.trash
        WHERE bucket = $1 AND (key, version) > ($2, $3) ORDER BY key, version LIMIT $4 FOR UPDATE";

    // Those that are brought along: new, or counted once more and with the copies just made durable.
    PUT_CHUNKS = "INSERT INTO cyx.chunks AS c (id, refs, size, data, parity, roots, nodes, shards)
        SELECT id, refs, size, data, parity, roots, nodes::integer[], shards::smallint[]
        FROM unnest($1::bytea[], $2::bigint[], $3::integer[], $4::smallint[], $5::smallint[], $6::bytea[], $7::text[], $8::text[])
            AS new (id, refs, size, data, parity, roots, nodes, shards)
        ON CONFLICT (id) DO UPDATE SET refs = c.refs + excluded.refs, dead_since = NULL, fence = NULL, nodes = excluded.nodes,
            shards = excluded.shards";
    // The same where some shards of some have no copy: what is referenced keeps its copies then, which are answered, and the row is locked.
    PUT_PARTIAL_CHUNKS = concat!("INSERT INTO cyx.chunks AS c (id, refs, size, data, parity, roots, nodes, shards)
        SELECT id, refs, size, data, parity, roots, nodes::integer[], shards::smallint[]
        FROM unnest($1::bytea[], $2::bigint[], $3::integer[], $4::smallint[], $5::smallint[], $6::bytea[], $7::text[], $8::text[])
            AS new (id, refs, size, data, parity, roots, nodes, shards)
        ON CONFLICT (id) DO UPDATE SET refs = c.refs + excluded.refs, dead_since = NULL, fence = NULL,
            nodes = CASE WHEN ", lacks_shards!(), " AND c.refs > 0 THEN c.nodes ELSE excluded.nodes END,
            shards = CASE WHEN ", lacks_shards!(), " AND c.refs > 0 THEN c.shards ELSE excluded.shards END
        RETURNING ", chunk!());
    // Those that must be there already.
    COUNT_CHUNKS = "WITH there AS (SELECT c.id, named.times FROM unnest($1::bytea[], $2::bigint[], $3::integer[]) AS named (id, times, size)
            JOIN cyx.chunks c ON c.id = named.id WHERE c.refs > 0 AND c.size = named.size ORDER BY c.id FOR UPDATE OF c)
        UPDATE cyx.chunks c SET refs = c.refs + there.times FROM there WHERE c.id = there.id";
    RELEASE_CHUNKS = concat!("WITH there AS (SELECT c.id, named.times FROM unnest($2::bytea[], $3::bigint[]) AS named (id, times)
            JOIN cyx.chunks c ON c.id = named.id ORDER BY c.id FOR UPDATE OF c)
        UPDATE cyx.chunks c SET refs = c.refs - there.times, dead_since = CASE WHEN c.refs = there.times THEN ", now!(1), " END
        FROM there WHERE c.id = there.id");
    CHUNKS = concat!("SELECT ", chunk!(), " FROM cyx.chunks WHERE id = ANY($1)");
    LOCK_CHUNK = concat!("SELECT ", chunk!(), " FROM cyx.chunks WHERE id = $1 AND refs > 0 FOR UPDATE");
    SET_COPIES = "UPDATE cyx.chunks c SET nodes = new.nodes::integer[], shards = new.shards::smallint[]
        FROM unnest($1::bytea[], $2::text[], $3::text[]) AS new (id, nodes, shards) WHERE c.id = new.id";
    SCAN_CHUNKS = concat!("SELECT ", chunk!(), " FROM cyx.chunks WHERE id > $1 AND refs > 0 ORDER BY id LIMIT $2");
    // All of the node by its index, then in order: a scan in the order of ids would look at the chunks of all nodes.
    CHUNKS_ON = "WITH held AS MATERIALIZED (SELECT c.id FROM cyx.node_numbers n JOIN cyx.chunks c ON c.nodes @> ARRAY[n.number] WHERE n.id = $1
            AND c.id > $2 AND c.refs > 0) SELECT id FROM held ORDER BY id LIMIT $3";
    // What was claimed has died at 0: it is due whatever the time and the grace.
    DEAD_CHUNKS = concat!("SELECT ", chunk!(), " FROM cyx.chunks WHERE dead_since IS NOT NULL AND id > $2
            AND dead_since <= greatest(0, ", now!(1), " - $3) ORDER BY id LIMIT $4 FOR UPDATE");
    CLAIM_CHUNKS = "UPDATE cyx.chunks SET fence = $2, dead_since = 0 WHERE id = ANY($1)";
    FINISH_CHUNK = "DELETE FROM cyx.chunks WHERE id = $1 AND refs = 0 AND fence = $2";

    LOCK_JOBS = concat!("SELECT ", job!(), " FROM cyx.jobs WHERE chunk = ANY($1) ORDER BY chunk FOR UPDATE");
    LOCK_JOB = concat!("SELECT ", job!(), " FROM cyx.jobs WHERE chunk = $1 FOR UPDATE");
    INSERT_JOBS = concat!("INSERT INTO cyx.jobs (", job!(), ")
        SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[])");
    UPDATE_JOBS = concat!("UPDATE cyx.jobs j SET priority = new.priority, state = new.state, epoch = new.epoch, attempts = new.attempts,
            not_before = new.not_before, updated = new.updated, failure = new.failure
        FROM unnest($1::bytea[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[])
            AS new (", job!(), ") WHERE j.chunk = new.chunk");
    // A lease that is younger than what this statement sees of the leases is alive: its job was free when the statement began, and is not now.
    FREE_JOBS = concat!("SELECT ", job!(), " FROM cyx.jobs j
        WHERE state IN ('pending', 'in_progress') AND CASE WHEN epoch IS NULL THEN not_before <= ", now!(1), "
            ELSE epoch <= (SELECT last_epoch FROM cyx.cluster WHERE singleton = 1) AND NOT EXISTS (SELECT 1 FROM cyx.leases l WHERE l.epoch = j.epoch AND l.expires >= ", now!(1), ") END
        ORDER BY priority, chunk LIMIT $2 FOR UPDATE OF j SKIP LOCKED");
    SCAN_JOBS = concat!("SELECT ", job!(), " FROM cyx.jobs WHERE chunk > $1 ORDER BY chunk LIMIT $2");
    DELETE_OLD_JOBS = concat!("DELETE FROM cyx.jobs WHERE chunk = ANY(ARRAY(SELECT chunk FROM cyx.jobs
            WHERE state IN ('completed', 'failed') AND updated <= ", now!(1), " - $2 ORDER BY updated LIMIT $3 FOR UPDATE SKIP LOCKED))");

    INSERT_UPLOAD = "INSERT INTO cyx.uploads (id, bucket, key, created, metadata) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    UPLOAD = "SELECT id, bucket, key, created, metadata FROM cyx.uploads WHERE id = $1";
    // Held against completion and abortion until the transaction ends.
    HOLD_UPLOAD = "SELECT id, bucket, key, created, metadata FROM cyx.uploads WHERE id = $1 FOR KEY SHARE";
    LOCK_UPLOAD = "SELECT id, bucket, key, created, metadata FROM cyx.uploads WHERE id = $1 FOR UPDATE";
    SCAN_UPLOADS = "SELECT id, bucket, key, created, metadata FROM cyx.uploads
        WHERE bucket = $1 AND (key, id) > ($2, $3) AND key < $4 ORDER BY key, id LIMIT $5";
    DELETE_UPLOAD = "DELETE FROM cyx.uploads WHERE id = $1";
    LOCK_PART = "SELECT chunks FROM cyx.parts WHERE upload = $1 AND number = $2 FOR UPDATE";
    INSERT_PART = "INSERT INTO cyx.parts (upload, number, version, size, etag, modified, system, chunks) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    UPDATE_PART = "UPDATE cyx.parts SET version = $3, size = $4, etag = $5, modified = $6, system = $7, chunks = $8
        WHERE upload = $1 AND number = $2";
    PARTS = "SELECT number, version, size, etag, modified, system, chunks FROM cyx.parts WHERE upload = $1 ORDER BY number";
    // One row without a part where the upload has none.
    SCAN_PARTS = "SELECT p.number, p.version, p.size, p.etag, p.modified, p.system, p.chunks FROM cyx.uploads u
        LEFT JOIN LATERAL (SELECT * FROM cyx.parts WHERE upload = u.id AND number > $2 ORDER BY number LIMIT $3) p ON true
        WHERE u.id = $1 ORDER BY p.number";
    DELETE_PARTS = "DELETE FROM cyx.parts WHERE upload = $1";

    PUT_ACCESS_KEY = "INSERT INTO cyx.access_keys (id, account, name, sealed_secret, created) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (id) DO UPDATE SET account = excluded.account, name = excluded.name, sealed_secret = excluded.sealed_secret,
            created = excluded.created";
    ACCESS_KEY = "SELECT id, account, name, sealed_secret, created FROM cyx.access_keys WHERE id = $1";
    ALL_ACCESS_KEYS = "SELECT id, account, name, sealed_secret, created FROM cyx.access_keys ORDER BY id";

    PUT_NODE = "INSERT INTO cyx.nodes (id, name, host, operator, subnet, region, address, public_key, capacity, reserved)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (id) DO UPDATE SET name = excluded.name, host = excluded.host, operator = excluded.operator, subnet = excluded.subnet,
            region = excluded.region, address = excluded.address, public_key = excluded.public_key, capacity = excluded.capacity,
            reserved = excluded.reserved";
    ALL_NODES = "SELECT id, name, host, operator, subnet, region, address, public_key, capacity, reserved FROM cyx.nodes ORDER BY name";
    LOCK_STATUS = "SELECT node, state, since, last_heartbeat, drain_requested, maintenance_until, failures FROM cyx.node_statuses
        WHERE node = $1 FOR UPDATE";
    INSERT_STATUS = "INSERT INTO cyx.node_statuses (node, state, since, last_heartbeat, drain_requested, maintenance_until, failures)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
    UPDATE_STATUS = "UPDATE cyx.node_statuses SET state = $2, since = $3, last_heartbeat = $4, drain_requested = $5, maintenance_until = $6,
            failures = $7 WHERE node = $1";
    ALL_STATUSES = "SELECT node, state, since, last_heartbeat, drain_requested, maintenance_until, failures FROM cyx.node_statuses ORDER BY node";

    NUMBERS_OF = "SELECT number, id FROM cyx.node_numbers WHERE id = ANY($1)";
    NODES_OF = "SELECT number, id FROM cyx.node_numbers WHERE number = ANY($1)";
    NEW_NUMBERS = "INSERT INTO cyx.node_numbers (number, id)
        SELECT (SELECT coalesce(max(number), 0) FROM cyx.node_numbers) + new.n, new.id FROM unnest($1::bytea[]) WITH ORDINALITY AS new (id, n)
        WHERE NOT EXISTS (SELECT 1 FROM cyx.node_numbers known WHERE known.id = new.id)";

    // Who finds a note that is alive locks it and changes nothing.
    NOTE_ONCE = concat!("INSERT INTO cyx.notes AS n (name, value, expires) SELECT $2, $3, t.now + least($4, 9223372036854775807 - t.now)
        FROM (SELECT ", now!(1), " AS now) t
        ON CONFLICT (name) DO UPDATE SET value = excluded.value, expires = excluded.expires WHERE n.expires <= ", now!(1));
    LOCKED_NOTE = "SELECT value FROM cyx.notes WHERE name = $1";
    PUT_NOTE = concat!("INSERT INTO cyx.notes (name, value, expires) SELECT $2, $3, t.now + least($4, 9223372036854775807 - t.now)
        FROM (SELECT ", now!(1), " AS now) t ON CONFLICT (name) DO UPDATE SET value = excluded.value, expires = excluded.expires");
    NOTE = concat!("SELECT value FROM cyx.notes WHERE name = $2 AND expires > ", now!(1));
    TAKE_NOTE = concat!("DELETE FROM cyx.notes WHERE name = $2 AND expires > ", now!(1), " RETURNING value");
    DELETE_OLD_NOTES = concat!("DELETE FROM cyx.notes WHERE name = ANY(ARRAY(SELECT name FROM cyx.notes
            WHERE expires <= ", now!(1), " ORDER BY expires LIMIT $2 FOR UPDATE SKIP LOCKED))");
    COUNT = concat!("INSERT INTO cyx.counters AS c (name, sum, expires) SELECT $2, $3, t.now + least($4, 9223372036854775807 - t.now)
        FROM (SELECT ", now!(1), " AS now) t
        ON CONFLICT (name) DO UPDATE SET sum = CASE WHEN c.expires > ", now!(1), " THEN c.sum ELSE 0 END + excluded.sum,
            expires = CASE WHEN c.expires > ", now!(1), " THEN c.expires ELSE excluded.expires END RETURNING sum");
    DELETE_OLD_COUNTERS = concat!("DELETE FROM cyx.counters WHERE name = ANY(ARRAY(SELECT name FROM cyx.counters
            WHERE expires <= ", now!(1), " ORDER BY expires LIMIT $2 FOR UPDATE SKIP LOCKED))");
}
