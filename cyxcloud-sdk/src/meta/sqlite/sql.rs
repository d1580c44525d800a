//! Every statement, so that one test can see that each finds its rows by an index.

macro_rules! statements {
    ($($name:ident = $sql:literal;)+) => {
        $(pub(super) const $name: &str = $sql;)+
        #[cfg(test)]
        const ALL: &[(&str, &str)] = &[$((stringify!($name), $sql)),+];
    };
}

statements! {
    INSERT_BUCKET = "INSERT INTO buckets (id, name, owner, created) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    BUCKET_BY_NAME = "SELECT id, name, owner, created FROM buckets WHERE name = ?1";
    BUCKETS_BY_OWNER = "SELECT id, name, owner, created FROM buckets WHERE owner = ?1 ORDER BY name";
    BUCKET_EXISTS = "SELECT 1 FROM buckets WHERE id = ?1";
    BUCKET_IS_USED = "SELECT 1 FROM objects WHERE bucket = ?1 LIMIT 1";
    BUCKET_UPLOADS = "SELECT id FROM uploads WHERE bucket = ?1";
    DELETE_BUCKET = "DELETE FROM buckets WHERE id = ?1";

    NEXT_EPOCH = "UPDATE cluster SET last_epoch = last_epoch + 1 WHERE only = 1 RETURNING last_epoch";
    INSERT_LEASE = "INSERT INTO leases (epoch, expires) VALUES (?1, ?2)";
    LEASE_LIVES = "SELECT 1 FROM leases WHERE epoch = ?1 AND expires >= ?2";
    RENEW_LEASE = "UPDATE leases SET expires = ?2 WHERE epoch = ?1";
    DELETE_LEASE = "DELETE FROM leases WHERE epoch = ?1";
    DELETE_EXPIRED_LEASES = "DELETE FROM leases WHERE expires < ?1";
    DELETE_ALL_LEASES = "DELETE FROM leases";
    FENCE = "SELECT coalesce((SELECT min(epoch) FROM leases), last_epoch + 1) FROM cluster WHERE only = 1";

    OBJECT = "SELECT key, version, size, etag, modified, metadata, manifest FROM objects WHERE bucket = ?1 AND key = ?2";
    OBJECT_THERE = "SELECT etag, version, manifest FROM objects WHERE bucket = ?1 AND key = ?2";
    PUT_OBJECT = "INSERT INTO objects (bucket, key, version, size, etag, modified, metadata, manifest)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT (bucket, key) DO UPDATE SET version = excluded.version, size = excluded.size, etag = excluded.etag,
            modified = excluded.modified, metadata = excluded.metadata, manifest = excluded.manifest";
    DELETE_OBJECT = "DELETE FROM objects WHERE bucket = ?1 AND key = ?2";
    SCAN_OBJECTS = "SELECT key, version, size, etag, modified, metadata FROM objects
        WHERE bucket = ?1 AND key >= ?2 AND key < ?3 ORDER BY key LIMIT ?4";

    PUT_CHUNK = "INSERT INTO chunks (id, refs, size, record) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (id) DO UPDATE SET refs = refs + excluded.refs, dead_since = NULL, fence = NULL, record = excluded.record";
    COUNT_CHUNK = "UPDATE chunks SET refs = refs + ?2 WHERE id = ?1 AND refs > 0 AND size = ?3";
    RELEASE_CHUNK = "UPDATE chunks SET refs = refs - ?2, dead_since = iif(refs = ?2, ?3, NULL) WHERE id = ?1";
    CHUNK = "SELECT record FROM chunks WHERE id = ?1";
    SCAN_CHUNKS = "SELECT record FROM chunks WHERE id > ?1 AND refs > 0 ORDER BY id LIMIT ?2";
    DEAD_CHUNKS = "SELECT record FROM chunks
        WHERE refs = 0 AND id > ?1 AND (fence IS NOT NULL OR dead_since <= ?2) ORDER BY id LIMIT ?3";
    CLAIM_CHUNK = "UPDATE chunks SET fence = ?2 WHERE id = ?1";
    FINISH_CHUNK = "DELETE FROM chunks WHERE id = ?1 AND refs = 0 AND fence = ?2";

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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::sqlite::schema;

    /// Tables whose size is bounded by what runs at once or by what people set up.
    const SMALL: [&str; 4] = ["leases", "access_keys", "nodes", "CONSTANT ROW"];

    #[test]
    fn every_statement_finds_its_rows_by_an_index() {
        let dir = tempfile::tempdir().unwrap();
        let c = schema::open_writer(&dir.path().join("meta")).unwrap();
        for (name, sql) in ALL {
            let mut statement = c.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            for at in 1..=statement.parameter_count() {
                statement.raw_bind_parameter(at, 1).unwrap();
            }
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next().unwrap() {
                let step: String = row.get("detail").unwrap();
                let scans = step.starts_with("SCAN") && !SMALL.iter().any(|table| step.contains(table));
                assert!(!scans && !step.contains("TEMP B-TREE"), "{name}: {step}");
            }
        }
    }

    #[test]
    fn dead_chunks_have_an_index_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let c = schema::open_writer(&dir.path().join("meta")).unwrap();
        let explain = format!("EXPLAIN QUERY PLAN {DEAD_CHUNKS}");
        let step: String = c.query_row(&explain, [1, 1, 1], |row| row.get("detail")).unwrap();
        assert!(step.contains("chunks_dead"), "{step}");
    }
}
