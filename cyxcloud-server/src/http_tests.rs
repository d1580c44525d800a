use axum::body::to_bytes;
use cyxcloud_sdk::Cluster;

use super::*;

#[tokio::test]
async fn what_is_not_ours_is_s3s() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(directory.path()).await.unwrap();
    let s3 = tower::service_fn(|_: Request| async { Ok::<_, Infallible>("S3".into_response()) });
    let other = Router::new().route("/cyx-admin/gc", axum::routing::post(|| async { "gc" }));
    let app = routes(cluster.engine().clone()).merge(other).fallback_service(s3);
    let signature = ("authorization", "AWS4-HMAC-SHA256 Credential=x");
    for (method, target, header, expected) in [
        ("GET", "/health", ("x", "y"), "OK"),
        ("GET", "/health", ("authorization", "Bearer x"), "OK"),
        ("POST", "/cyx-admin/gc", ("x", "y"), "gc"),
        ("PUT", "/health", ("x", "y"), "S3"),
        ("DELETE", "/health/cluster", ("x", "y"), "S3"),
        ("PUT", "/version", ("x", "y"), "S3"),
        ("GET", "/cyx-admin/gc", ("x", "y"), "S3"),
        ("GET", "/bucket/health", ("x", "y"), "S3"),
        ("GET", "/health", signature, "S3"),
        ("GET", "/health?X-Amz-Signature=x", ("x", "y"), "S3"),
    ] {
        let request = Request::builder().method(method).uri(target).header(header.0, header.1).body(Body::empty()).unwrap();
        let body = to_bytes(app.clone().oneshot(request).await.unwrap().into_body(), 1 << 20).await.unwrap();
        assert_eq!(body, expected, "{method} {target}");
    }
}

#[tokio::test]
async fn health_is_healthy_only_when_every_chunk_is() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::builder().nodes(16).open(directory.path()).await.unwrap();
    let (engine, local) = (cluster.engine(), cluster.local_nodes());
    cluster.create_bucket("bucket").await.unwrap().put("key", vec![7; 100_000]).await.unwrap();
    engine.watch_nodes().await.unwrap();
    let health = || async { describe(&engine.cluster_health().await.unwrap()) };
    let seen = health().await;
    assert_eq!((&seen["status"], &seen["tolerance"]["stored"], &seen["chunks"]["healthy"]), (&json!("healthy"), &json!(4), &json!(1)));

    let page = engine.meta().scan_chunks(None, 1).await.unwrap();
    let holders: Vec<_> = page[0].copies.iter().map(|copy| copy.node).collect();
    engine.drain_node(holders[0]).await.unwrap();
    let seen = health().await;
    let (status, state) = (&seen["status"], seen["nodes"].as_array().unwrap().iter().filter(|node| node["state"] == "draining").count());
    assert_eq!(
        (status, &seen["chunks"]["degraded"], state),
        (&json!("degraded"), &json!(0), 1),
        "every shard can be read, but one must move"
    );
    engine.cancel_drain(holders[0]).await.unwrap();

    for (lost, status, class) in [(1, "degraded", "degraded"), (4, "degraded", "degraded"), (5, "unavailable", "unreadable")] {
        holders[..lost].iter().for_each(|node| local.set_running(*node, false).unwrap());
        let seen = health().await;
        assert_eq!((&seen["status"], &seen["chunks"][class]), (&json!(status), &json!(1)), "{lost} nodes away: {seen}");
        holders.iter().for_each(|node| local.set_running(*node, true).unwrap());
    }

    for node in local.nodes().into_iter().filter(|node| holders[..2].contains(&node.record.id)) {
        node.store.wipe().await.unwrap();
    }
    let seen = health().await;
    assert_eq!((&seen["status"], &seen["shards_missing"], &seen["tolerance"]["stored"]), (&json!("degraded"), &json!(2), &json!(2)));
    assert_eq!((&seen["chunks"]["at_risk"], &seen["chunks"]["urgent"]), (&json!(1), &json!(0)), "12 of 14 shards are left");
    engine.plan_repairs().await.unwrap();
    assert_eq!(health().await["repairs"]["pending"], 1);
    engine.run_repairs().await.unwrap();
    let seen = health().await;
    assert_eq!((&seen["status"], &seen["shards_missing"], &seen["repairs"]["pending"]), (&json!("healthy"), &json!(0), &json!(0)));
}
