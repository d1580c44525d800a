//! What needs a look inside: plans, and a database of the first schema.

use std::sync::LazyLock;

use cyxcloud_core::id::{BucketId, BucketName, ChunkId, ObjectKey};
use cyxcloud_core::port::{BucketSettings, Fate, Meta, Precondition, ScanStart, Usage};
use cyxcloud_test_servers::{Postgres, PostgresSettings};

use super::{PostgresMeta, PostgresOptions, sql};

fn server() -> &'static Postgres {
    static SERVER: LazyLock<Result<Postgres, String>> =
        LazyLock::new(|| Postgres::start(PostgresSettings { fsync: false, ..PostgresSettings::default() }).map_err(|e| e.to_string()));
    SERVER.as_ref().unwrap_or_else(|why| panic!("{why}"))
}

/// Tables whose size is bounded by what runs at once or by what people set up.
const SMALL: [&str; 7] = ["cluster", "restores", "leases", "access_keys", "nodes", "node_statuses", "node_numbers"];

/// A hundred thousand rows in every other table.
const FILL: &str = "
CREATE FUNCTION pg_temp.id(n bigint) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$ SELECT sha256(int8send(n)) $$;
INSERT INTO cyx.buckets SELECT substring(pg_temp.id(n) FOR 16), 'b' || n, substring(pg_temp.id(n % 100) FOR 16), n FROM generate_series(1, 100000) n;
INSERT INTO cyx.usage SELECT substring(pg_temp.id(n) FOR 16), 0, 1, 1, 1, 1, n FROM generate_series(1, 100000) n;
INSERT INTO cyx.accounts SELECT substring(pg_temp.id(n) FOR 16), n FROM generate_series(1, 100000) n;
INSERT INTO cyx.objects SELECT substring(pg_temp.id(n % 10) FOR 16), convert_to('key ' || n, 'UTF8'), pg_temp.id(n), n, 'tag', n, '{}', NULL, pg_temp.id(n)
    FROM generate_series(1, 100000) n;
INSERT INTO cyx.trash SELECT bucket, key, version, size, etag, modified, metadata, inline, chunks, modified FROM cyx.objects;
INSERT INTO cyx.uploads SELECT substring(pg_temp.id(n) FOR 16), substring(pg_temp.id(n % 10) FOR 16), convert_to('key ' || n, 'UTF8'), n, '{}'
    FROM generate_series(1, 100000) n;
INSERT INTO cyx.parts SELECT substring(pg_temp.id(n / 100) FOR 16), n % 100 + 1, pg_temp.id(n), n, 'tag', n, '{}', pg_temp.id(n) FROM generate_series(1, 100000) n;
INSERT INTO cyx.chunks (id, refs, size, data, parity, dead_since, roots, nodes)
    SELECT pg_temp.id(n), (n % 100 > 0)::integer, 4194304, 10, 4, CASE WHEN n % 100 = 0 THEN n END, '', ARRAY[n % 100, n % 99] FROM generate_series(1, 100000) n;
INSERT INTO cyx.jobs SELECT pg_temp.id(n), n % 5, CASE WHEN n % 10 = 0 THEN 'pending' ELSE 'completed' END, NULL, 0, n, n, '' FROM generate_series(1, 100000) n;
INSERT INTO cyx.notes SELECT pg_temp.id(n), '', n FROM generate_series(1, 100000) n;
INSERT INTO cyx.counters SELECT pg_temp.id(n), n, n FROM generate_series(1, 100000) n;
";

async fn open(database: &str) -> PostgresMeta {
    PostgresMeta::open(&server().url(database), PostgresOptions::default()).await.unwrap()
}

/// Plans as they are once the server has seen a statement so often that it plans for any parameters.
#[tokio::test]
async fn every_statement_finds_its_rows_by_an_index() {
    server().psql("postgres", "CREATE DATABASE plans").unwrap();
    drop(open("plans").await);
    server().psql("plans", FILL).unwrap();
    server().psql("plans", "VACUUM ANALYZE").unwrap();
    let mut found = Vec::new();
    for (name, sql) in sql::ALL {
        let parameters = (1..20).filter(|n| sql.contains(&format!("${n}"))).count();
        let nulls = if parameters == 0 { String::new() } else { format!("({})", vec!["NULL"; parameters].join(", ")) };
        let explain = format!("SET plan_cache_mode = force_generic_plan; PREPARE p AS {sql}; EXPLAIN (COSTS OFF) EXECUTE p{nulls}");
        let plan = server().psql("plans", &explain).unwrap_or_else(|e| panic!("{name}: {e}"));
        let scanned =
            plan.lines().filter_map(|line| line.split("Seq Scan on ").nth(1)).map(|rest| rest.split(' ').next().unwrap_or_default());
        if scanned.clone().any(|table| !SMALL.contains(&table)) {
            found.push(format!("{name}:\n{plan}"));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    let by_node = format!(
        "SET plan_cache_mode = force_generic_plan; PREPARE p AS {}; EXPLAIN (COSTS OFF) EXECUTE p(NULL, NULL, NULL)",
        sql::CHUNKS_ON
    );
    let plan = server().psql("plans", &by_node).unwrap();
    assert!(plan.contains("chunks_by_node"), "{plan}");
}

/// A bucket with an object, as the first schema has them.
const FIRST: &str = "
INSERT INTO cyx.buckets VALUES ('\\x01010101010101010101010101010101', 'first', '\\x01010101010101010101010101010101', 7);
INSERT INTO cyx.usage VALUES ('\\x01010101010101010101010101010101', 3, 1, 5, 0, 0);
INSERT INTO cyx.objects VALUES ('\\x01010101010101010101010101010101', 'a', '\\x02020202020202020202020202020202', 5, 'tag', 7,
    '{\"headers\": {\"content-type\": \"text/plain\"}, \"user\": {}, \"system\": {}}', 'hello', NULL);
UPDATE cyx.cluster SET last_epoch = 41;
";

#[tokio::test]
async fn a_database_of_the_first_schema_is_brought_up_to_date() {
    server().psql("postgres", "CREATE DATABASE first").unwrap();
    let first = include_str!("migrations/0001.sql");
    let made = format!(
        "CREATE SCHEMA cyx; CREATE TABLE cyx.migrations (version integer PRIMARY KEY); {first}; INSERT INTO cyx.migrations VALUES (1); {FIRST}"
    );
    server().psql("first", &made).unwrap();
    let meta = open("first").await;
    let bucket = BucketId([1; 16]);
    let name = BucketName::new("first").unwrap();
    let found = meta.bucket(&name).await.unwrap();
    assert_eq!((found.id, found.settings), (bucket, BucketSettings::default()));
    let own = BucketSettings { chunk_size_bytes: Some(1 << 20), ..BucketSettings::default() };
    meta.set_bucket_settings(bucket, own).await.unwrap();
    assert_eq!(meta.bucket(&name).await.unwrap().settings, own);
    assert_eq!(meta.usage(bucket).await.unwrap(), Usage { objects: 1, object_bytes: 5, ..Usage::default() });
    let heads = meta.scan_objects(bucket, "", ScanStart::First, 10).await.unwrap();
    assert_eq!(heads.len(), 1);
    assert_eq!(heads[0].metadata.headers["content-type"], "text/plain");
    assert_eq!(meta.begin_lease(1000).await.unwrap().epoch, 42);
    assert!(meta.delete_object(bucket, &ObjectKey::new("a").unwrap(), Precondition::None, Fate::Release).await.unwrap());
    assert_eq!(meta.chunks(&[ChunkId([1; 32])]).await.unwrap(), [None]);
    assert_eq!(server().psql("first", "SELECT name, owner_id FROM buckets").unwrap(), "first|01010101010101010101010101010101\n");
    let applied = server().psql("first", "SELECT max(version) FROM cyx.migrations").unwrap();
    assert_eq!(applied, format!("{}\n", super::schema::MIGRATIONS.len()));
    // Opened again, nothing is left to do.
    assert_eq!(open("first").await.usage(bucket).await.unwrap(), Usage::default());
}
