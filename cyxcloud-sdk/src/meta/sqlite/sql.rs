//! Every statement, so that one test can see that each finds its rows by an index.

macro_rules! statements {
    ($($name:ident = $sql:literal;)+) => {
        $(pub(super) const $name: &str = $sql;)+
        #[cfg(test)]
        const ALL: &[(&str, &str)] = &[$((stringify!($name), $sql)),+];
    };
}

statements! {
    INSERT_BUCKET = "INSERT INTO buckets (id, name, owner, created, data, parity, chunk_size, write_quorum)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING";
    BUCKET_BY_NAME = "SELECT id, name, owner, created, data, parity, chunk_size, write_quorum FROM buckets WHERE name = ?1";
    BUCKETS_BY_OWNER = "SELECT id, name, owner, created, data, parity, chunk_size, write_quorum
        FROM buckets WHERE owner = ?1 ORDER BY name";
    SET_BUCKET_SETTINGS = "UPDATE buckets SET data = ?2, parity = ?3, chunk_size = ?4, write_quorum = ?5 WHERE id = ?1";
    BUCKET_EXISTS = "SELECT 1 FROM buckets WHERE id = ?1";
    BUCKET_IS_USED = "SELECT 1 FROM objects WHERE bucket = ?1 LIMIT 1";
    BUCKET_UPLOADS = "SELECT id FROM uploads WHERE bucket = ?1";
    DELETE_BUCKET = "DELETE FROM buckets WHERE id = ?1";

    INSERT_USAGE = "INSERT INTO usage (bucket, objects, object_bytes, part_bytes, trash_bytes) VALUES (?1, 0, 0, 0, 0)";
    CHANGE_USAGE = "UPDATE usage SET objects = objects + ?2, object_bytes = object_bytes + ?3, part_bytes = part_bytes + ?4,
            trash_bytes = trash_bytes + ?5, since = ?6, byte_ms = ?7 WHERE bucket = ?1";
    METER = "SELECT object_bytes + part_bytes + trash_bytes, since, byte_ms FROM usage WHERE bucket = ?1";
    USAGE = "SELECT objects, object_bytes, part_bytes, trash_bytes FROM usage WHERE bucket = ?1";
    DELETE_USAGE = "DELETE FROM usage WHERE bucket = ?1";

    QUOTA_OF_BUCKET = "SELECT a.id FROM buckets b JOIN accounts a ON a.id = b.owner WHERE b.id = ?1 AND a.quota IS NOT NULL";
    ACCOUNT = "SELECT quota, byte_ms FROM accounts WHERE id = ?1";
    USAGE_BY_OWNER = "SELECT u.objects, u.object_bytes, u.part_bytes, u.trash_bytes, u.since, u.byte_ms
        FROM buckets b JOIN usage u ON u.bucket = b.id WHERE b.owner = ?1";
    SET_QUOTA = "INSERT INTO accounts (id, quota) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET quota = excluded.quota";
    OWNER = "SELECT owner FROM buckets WHERE id = ?1";
    SET_METER = "INSERT INTO accounts (id, byte_ms) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET byte_ms = excluded.byte_ms";
    RESERVE = "UPDATE leases SET account = ?2, reserved = ?3 WHERE epoch = ?1";
    RESERVED = "SELECT coalesce(sum(reserved), 0) FROM leases WHERE account = ?1 AND epoch <> ?2 AND expires >= ?3";

    NEXT_EPOCH = "UPDATE cluster SET last_epoch = last_epoch + 1 WHERE only = 1 RETURNING last_epoch";
    INSERT_LEASE = "INSERT INTO leases (epoch, expires) VALUES (?1, ?2)";
    LIVE_LEASE = "SELECT expires FROM leases WHERE epoch = ?1 AND expires >= ?2";
    RENEW_LEASE = "UPDATE leases SET expires = ?2 WHERE epoch = ?1";
    DELETE_LEASE = "DELETE FROM leases WHERE epoch = ?1";
    DELETE_EXPIRED_LEASES = "DELETE FROM leases WHERE expires < ?1";
    DELETE_ALL_LEASES = "DELETE FROM leases";
    COUNTER = "SELECT last_epoch FROM cluster WHERE only = 1";
    SET_COUNTER = "UPDATE cluster SET last_epoch = ?1 WHERE only = 1";
    INSERT_RESTORE = "INSERT INTO restores (first, next, at) VALUES (?1, ?2, ?3)";
    NEWEST_RESTORE = "SELECT coalesce(max(at), 0) FROM restores";
    RESTORES = "SELECT first, next, at FROM restores ORDER BY next";
    FENCE = "SELECT coalesce((SELECT min(epoch) FROM leases), last_epoch + 1) FROM cluster WHERE only = 1";

    OBJECT = "SELECT key, version, size, etag, modified, metadata, manifest FROM objects WHERE bucket = ?1 AND key = ?2";
    OBJECT_VERSION = "SELECT version FROM objects WHERE bucket = ?1 AND key = ?2";
    OBJECT_THERE = "SELECT etag, version, manifest FROM objects WHERE bucket = ?1 AND key = ?2";
    PUT_OBJECT = "INSERT INTO objects (bucket, key, version, size, etag, modified, metadata, manifest)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT (bucket, key) DO UPDATE SET version = excluded.version, size = excluded.size, etag = excluded.etag,
            modified = excluded.modified, metadata = excluded.metadata, manifest = excluded.manifest";
    DELETE_OBJECT = "DELETE FROM objects WHERE bucket = ?1 AND key = ?2";
    SCAN_OBJECTS = "SELECT key, version, size, etag, modified, metadata FROM objects
        WHERE bucket = ?1 AND key >= ?2 AND key < ?3 ORDER BY key LIMIT ?4";

    TRASH_OBJECT = "INSERT INTO trash (bucket, key, version, size, etag, modified, deleted, metadata, manifest)
        SELECT bucket, key, version, size, etag, modified, ?3, metadata, manifest FROM objects WHERE bucket = ?1 AND key = ?2
        ON CONFLICT DO NOTHING";
    TRASHED_OBJECT = "SELECT key, version, size, etag, modified, metadata, manifest FROM trash
        WHERE bucket = ?1 AND key = ?2 AND version = ?3";
    DELETE_TRASHED = "DELETE FROM trash WHERE bucket = ?1 AND key = ?2 AND version = ?3";
    SCAN_TRASH = "SELECT key, version, size, etag, modified, metadata, deleted FROM trash
        WHERE bucket = ?1 AND (key, version) > (?2, ?3) AND key < ?4 ORDER BY key, version LIMIT ?5";
    OLD_TRASH = "SELECT bucket, key, version, manifest FROM trash WHERE deleted <= ?1 ORDER BY deleted LIMIT ?2";
    BUCKET_TRASH = "SELECT bucket, key, version, manifest FROM trash WHERE bucket = ?1 LIMIT ?2";

    PUT_CHUNK = "INSERT INTO chunks (id, refs, size, record) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (id) DO UPDATE SET refs = refs + excluded.refs, dead_since = NULL, fence = NULL, record = excluded.record";
    COUNT_CHUNK = "UPDATE chunks SET refs = refs + ?2 WHERE id = ?1 AND refs > 0 AND size = ?3";
    RELEASE_CHUNK = "UPDATE chunks SET refs = refs - ?2, dead_since = iif(refs = ?2, ?3, NULL) WHERE id = ?1";
    CHUNK = "SELECT record FROM chunks WHERE id = ?1";
    REFERENCED_CHUNK = "SELECT record FROM chunks WHERE id = ?1 AND refs > 0";
    SET_CHUNK_RECORD = "UPDATE chunks SET record = ?2 WHERE id = ?1";
    SCAN_CHUNKS = "SELECT record FROM chunks WHERE id > ?1 AND refs > 0 ORDER BY id LIMIT ?2";
    DEAD_CHUNKS = "SELECT record FROM chunks
        WHERE refs = 0 AND id > ?1 AND (fence IS NOT NULL OR dead_since <= ?2) ORDER BY id LIMIT ?3";
    CLAIM_CHUNK = "UPDATE chunks SET fence = ?2 WHERE id = ?1";
    FINISH_CHUNK = "DELETE FROM chunks WHERE id = ?1 AND refs = 0 AND fence = ?2";

    JOB = "SELECT chunk, priority, state, epoch, attempts, not_before, updated, failure FROM jobs WHERE chunk = ?1";
    PUT_JOB = "INSERT INTO jobs (chunk, priority, state, epoch, attempts, not_before, updated, failure)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT (chunk) DO UPDATE SET priority = excluded.priority, state = excluded.state, epoch = excluded.epoch,
            attempts = excluded.attempts, not_before = excluded.not_before, updated = excluded.updated, failure = excluded.failure";
    FREE_JOBS = "SELECT chunk, priority, state, epoch, attempts, not_before, updated, failure FROM jobs
        WHERE state IN ('pending', 'in_progress') AND priority >= 0 AND iif(epoch IS NULL, not_before <= ?1,
            NOT EXISTS (SELECT 1 FROM leases WHERE leases.epoch = jobs.epoch AND leases.expires >= ?1))
        ORDER BY priority, chunk LIMIT ?2";
    SCAN_JOBS = "SELECT chunk, priority, state, epoch, attempts, not_before, updated, failure FROM jobs
        WHERE chunk > ?1 ORDER BY chunk LIMIT ?2";
    DELETE_OLD_JOBS = "DELETE FROM jobs WHERE state IN ('completed', 'failed') AND updated <= ?1";

    INSERT_UPLOAD = "INSERT INTO uploads (id, bucket, key, created, metadata) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
    UPLOAD = "SELECT id, bucket, key, created, metadata FROM uploads WHERE id = ?1";
    SCAN_UPLOADS = "SELECT id, bucket, key, created, metadata FROM uploads
        WHERE bucket = ?1 AND (key, id) > (?2, ?3) AND key < ?4 ORDER BY key, id LIMIT ?5";
    DELETE_UPLOAD = "DELETE FROM uploads WHERE id = ?1";
    PART_CHUNKS = "SELECT chunks FROM parts WHERE upload = ?1 AND number = ?2";
    PUT_PART = "INSERT INTO parts (upload, number, version, size, etag, modified, system, chunks)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT (upload, number) DO UPDATE SET version = excluded.version, size = excluded.size, etag = excluded.etag,
            modified = excluded.modified, system = excluded.system, chunks = excluded.chunks";
    SCAN_PARTS = "SELECT number, version, size, etag, modified, system, chunks FROM parts
        WHERE upload = ?1 AND number > ?2 ORDER BY number LIMIT ?3";
    DELETE_PARTS = "DELETE FROM parts WHERE upload = ?1";

    PUT_ACCESS_KEY = "INSERT INTO access_keys (id, account, name, sealed_secret, created) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (id) DO UPDATE SET account = excluded.account, name = excluded.name, sealed_secret = excluded.sealed_secret,
            created = excluded.created";
    ACCESS_KEY = "SELECT id, account, name, sealed_secret, created FROM access_keys WHERE id = ?1";
    ALL_ACCESS_KEYS = "SELECT id, account, name, sealed_secret, created FROM access_keys ORDER BY id";
    NODE_NAME_TAKEN = "SELECT 1 FROM nodes WHERE name = ?1 AND id <> ?2";
    PUT_NODE = "INSERT INTO nodes (id, name, record) VALUES (?1, ?2, ?3)
        ON CONFLICT (id) DO UPDATE SET name = excluded.name, record = excluded.record";
    ALL_NODES = "SELECT record FROM nodes ORDER BY name";
    NODE_STATUS = "SELECT status FROM node_statuses WHERE node = ?1";
    PUT_NODE_STATUS = "INSERT INTO node_statuses (node, status) VALUES (?1, ?2) ON CONFLICT (node) DO UPDATE SET status = excluded.status";
    ALL_NODE_STATUSES = "SELECT node, status FROM node_statuses ORDER BY node";

    NOTE = "SELECT value FROM notes WHERE name = ?1 AND expires > ?2";
    PUT_NOTE = "INSERT INTO notes (name, value, expires) VALUES (?1, ?2, ?3)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value, expires = excluded.expires";
    TAKE_NOTE = "DELETE FROM notes WHERE name = ?1 AND expires > ?2 RETURNING value";
    COUNT = "INSERT INTO notes (name, sum, expires) VALUES (?1, ?2, ?3)
        ON CONFLICT (name) DO UPDATE SET sum = iif(expires > ?4, sum, 0) + excluded.sum,
            expires = iif(expires > ?4, expires, excluded.expires) RETURNING sum";
    DELETE_OLD_NOTES = "DELETE FROM notes WHERE name IN (SELECT name FROM notes WHERE expires <= ?1 ORDER BY expires LIMIT ?2)";
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::meta::sqlite::schema;

    /// Tables whose size is bounded by what runs at once or by what people set up.
    const SMALL: [&str; 6] = ["leases", "restores", "access_keys", "nodes", "node_statuses", "CONSTANT ROW"];

    /// The steps of the statement's plan.
    fn plan(c: &Connection, sql: &str) -> Vec<String> {
        let mut statement = c.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        for at in 1..=statement.parameter_count() {
            statement.raw_bind_parameter(at, 1).unwrap();
        }
        statement.raw_query().mapped(|row| row.get("detail")).collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn every_statement_finds_its_rows_by_an_index() {
        let dir = tempfile::tempdir().unwrap();
        let c = schema::open_writer(&dir.path().join("meta")).unwrap();
        for (name, sql) in ALL {
            for step in plan(&c, sql) {
                let scans = step.starts_with("SCAN") && !SMALL.iter().any(|table| step.contains(table));
                assert!(!scans && !step.contains("TEMP B-TREE"), "{name}: {step}");
            }
        }
    }

    #[test]
    fn what_waits_for_a_worker_has_an_index_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let c = schema::open_writer(&dir.path().join("meta")).unwrap();
        let plans =
            [(DEAD_CHUNKS, "chunks_dead"), (OLD_TRASH, "trash_by_deletion"), (FREE_JOBS, "jobs_open"), (DELETE_OLD_JOBS, "jobs_ended")];
        for (sql, index) in plans {
            let steps = plan(&c, sql);
            assert!(steps[0].contains(index), "{steps:?}");
        }
    }
}
