//! What applications do through a gateway beside put and get: copies, renames, parts, the trash, usage; and that nobody does it with what is another's.

use std::convert::Infallible;

use bytes::Bytes;
use cyxcloud_core::testing::SplitMix64;
use cyxcloud_proto::gateway::v1 as message;
use cyxcloud_proto::gateway::v1::object_service_client::ObjectServiceClient;
use cyxcloud_sdk::core::engine::{Engine, NewPart, StageKind};
use cyxcloud_sdk::core::id::{AccountId, BucketId, ObjectKey, UploadId, VersionId};
use cyxcloud_sdk::core::port::{CompleteUpload, CopyObject, NewVersion, Object, Part, PartChoice, RenameObject, Upload};
use cyxcloud_sdk::transport::grpc::SigningLayer;
use cyxcloud_sdk::{BucketSettings, Cluster, ErrorKind, Metadata, Precondition, Result, Scheme};
use futures::{TryStreamExt, stream};
use tower::Layer;

use super::direct::Fleet;
use super::env;

/// Larger than what is kept inline.
fn payload(seed: u64) -> Bytes {
    SplitMix64(seed).bytes(20_000).into()
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

fn new_version(client: &Cluster, bucket: BucketId, at: &str) -> NewVersion {
    let engine = client.engine();
    NewVersion {
        bucket,
        key: key(at),
        version: VersionId(engine.new_id()),
        etag: "a-tag".into(),
        modified: engine.now(),
        metadata: Metadata { user: [("colour".to_owned(), "green".to_owned())].into(), ..Metadata::default() },
        precondition: Precondition::None,
    }
}

fn copy_of(source: (BucketId, &Object), object: NewVersion) -> CopyObject {
    let head = &source.1.head;
    CopyObject { source_bucket: source.0, source_key: head.key.clone(), source_version: head.version, object }
}

fn rename_of(source: (BucketId, &Object), object: NewVersion) -> RenameObject {
    let head = &source.1.head;
    RenameObject { source_bucket: source.0, source_key: head.key.clone(), source_version: head.version, object }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
}

#[tokio::test]
async fn objects_are_copied_and_renamed_without_moving_a_byte() {
    let fleet = Fleet::new(6).await;
    let client = fleet.client().await;
    let (photos, album) = (client.ensure_bucket("photos").await.unwrap(), client.ensure_bucket("album").await.unwrap());
    let (meta, bytes) = (client.engine().meta(), payload(1));
    photos.put("cat", bytes.clone()).await.unwrap();
    let source = meta.object(photos.id(), &key("cat")).await.unwrap();

    let copied = meta.copy_object(copy_of((photos.id(), &source), new_version(&client, album.id(), "cat"))).await.unwrap();
    assert_eq!((&copied.manifest, copied.head.etag.as_str()), (&source.manifest, "a-tag"));
    assert_eq!(copied.head.metadata.user["colour"], "green");
    assert_eq!(album.get("cat").await.unwrap(), bytes);

    let moved = meta.rename_object(rename_of((photos.id(), &source), new_version(&client, photos.id(), "dog"))).await.unwrap();
    assert_eq!(moved.manifest, source.manifest);
    refused(photos.get("cat").await, ErrorKind::NotFound);
    assert_eq!(photos.get("dog").await.unwrap(), bytes);
    let absent = NewVersion { precondition: Precondition::Absent, ..new_version(&client, album.id(), "cat") };
    refused(meta.rename_object(rename_of((photos.id(), &moved), absent.clone())).await, ErrorKind::Precondition);
    refused(meta.copy_object(copy_of((photos.id(), &moved), absent)).await, ErrorKind::Precondition);
    refused(meta.rename_object(rename_of((photos.id(), &source), new_version(&client, album.id(), "x"))).await, ErrorKind::NotFound);
    let stale = Object { head: cyxcloud_sdk::ObjectHead { key: key("dog"), ..source.head.clone() }, ..source.clone() };
    refused(meta.copy_object(copy_of((photos.id(), &stale), new_version(&client, album.id(), "x"))).await, ErrorKind::Conflict);
    // What S3 clients could not be given is not taken.
    let odd = NewVersion { etag: "\"".into(), ..new_version(&client, album.id(), "x") };
    refused(meta.rename_object(rename_of((photos.id(), &moved), odd)).await, ErrorKind::Invalid);

    // Without its mark an encrypted object is lost, and not every client knows of it.
    let mark = |of: &Object| of.head.metadata.user.get("cyx-encryption").cloned();
    let marked = Metadata { user: [("cyx-encryption".to_owned(), "mark".to_owned())].into(), ..Metadata::default() };
    let sealed = NewVersion { metadata: marked, ..new_version(&client, photos.id(), "sealed") };
    let sealed = meta.copy_object(copy_of((photos.id(), &moved), sealed)).await.unwrap();
    let copied = meta.copy_object(copy_of((photos.id(), &sealed), new_version(&client, photos.id(), "copied"))).await.unwrap();
    let renamed = meta.rename_object(rename_of((photos.id(), &sealed), new_version(&client, photos.id(), "renamed"))).await.unwrap();
    assert_eq!([mark(&copied), mark(&renamed)], [Some("mark".to_owned()), Some("mark".to_owned())]);
    for key in ["copied", "renamed"] {
        photos.delete(key).await.unwrap();
    }

    meta.rename_object(rename_of((photos.id(), &moved), new_version(&client, album.id(), "cat"))).await.unwrap();
    let (held, account) = (meta.usage(album.id()).await.unwrap(), meta.account_usage(AccountId([9; 16])).await.unwrap());
    assert_eq!((held.objects, held.object_bytes, meta.usage(photos.id()).await.unwrap().objects), (1, bytes.len() as u64, 0));
    assert_eq!((account.held, account.quota_bytes), (held, None));
    fleet.bench.gateway.stop().await;
}

#[tokio::test]
async fn a_client_hears_what_the_cluster_survives() {
    let fleet = Fleet::new(6).await;
    let client = fleet.client().await;
    let bucket = client.ensure_bucket("photos").await.unwrap();
    bucket.put("cat", payload(1)).await.unwrap();
    let health = client.health().await.unwrap();
    assert_eq!((health.chunks, health.scheme.to_string().as_str(), health.read_tolerance), (1, "4+2", Some(2)));
    assert_eq!(health.nodes.iter().map(|node| node.shards).collect::<Vec<_>>(), [1; 6]);
    // The times of heartbeats go on.
    let mut seen = fleet.bench.gateway.engine.cluster_health().await.unwrap();
    for (of_client, node) in health.nodes.iter().zip(&mut seen.nodes) {
        assert_eq!(of_client.status.map(|status| status.state), node.status.map(|status| status.state));
        (node.status, node.view.free_bytes) = (of_client.status, of_client.view.free_bytes);
    }
    assert_eq!(health, seen);
    fleet.bench.gateway.stop().await;
}

fn begun(client: &Cluster, bucket: BucketId, at: &str) -> Upload {
    let new = new_version(client, bucket, at);
    Upload { id: UploadId(client.engine().new_id()), bucket, key: new.key, created: new.modified, metadata: new.metadata }
}

async fn put_part(engine: &Engine, upload: UploadId, number: u32, bytes: Bytes) -> Result<Part> {
    let staged = engine.stage(stream::iter([Ok::<_, Infallible>(bytes)]), StageKind::Part).await?;
    let (version, etag) = (VersionId(engine.new_id()), format!("part-{number}"));
    let part = NewPart { number, version, etag, modified: engine.now(), system: Default::default() };
    engine.commit_part(staged, upload, part).await
}

#[tokio::test]
async fn parts_become_an_object() {
    let fleet = Fleet::new(6).await;
    let client = fleet.client().await;
    let bucket = client.ensure_bucket("photos").await.unwrap();
    let (engine, meta) = (client.engine(), client.engine().meta());
    let upload = begun(&client, bucket.id(), "film");
    meta.create_upload(upload.clone()).await.unwrap();
    let found = meta.upload(upload.id).await.unwrap();
    assert_eq!((found.id, found.bucket, &found.key, &found.metadata), (upload.id, bucket.id(), &upload.key, &upload.metadata));
    let other = begun(&client, bucket.id(), "film/2");
    meta.create_upload(other.clone()).await.unwrap();
    let listed = meta.list_uploads(bucket.id(), "film", None, 1).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&found));
    let next = meta.list_uploads(bucket.id(), "", Some(("film".into(), upload.id)), 10).await.unwrap();
    assert_eq!(next.iter().map(|upload| upload.id).collect::<Vec<_>>(), [other.id]);

    let (one, two) = (payload(1), payload(2));
    put_part(engine, upload.id, 1, payload(3)).await.unwrap();
    put_part(engine, upload.id, 2, two.clone()).await.unwrap();
    put_part(engine, upload.id, 1, one.clone()).await.unwrap();
    put_part(engine, upload.id, 9, payload(4)).await.unwrap();
    let parts = meta.list_parts(upload.id, 0, 100).await.unwrap();
    assert_eq!(parts.iter().map(|part| (part.number, part.size_bytes)).collect::<Vec<_>>(), [(1, 20_000), (2, 20_000), (9, 20_000)]);
    assert_eq!(meta.list_parts(upload.id, 1, 1).await.unwrap(), parts[1..2]);
    assert_eq!(meta.usage(bucket.id()).await.unwrap().part_bytes, 60_000);
    refused(put_part(engine, upload.id, 10_001, payload(1)).await, ErrorKind::Invalid);
    refused(put_part(engine, UploadId([9; 16]), 1, payload(1)).await, ErrorKind::NotFound);

    let choice = |part: &Part| PartChoice { number: part.number, version: part.version };
    let complete =
        |object: NewVersion, parts: &[Part]| CompleteUpload { upload: upload.id, parts: parts.iter().map(choice).collect(), object };
    refused(meta.complete_upload(complete(new_version(&client, bucket.id(), "else"), &parts)).await, ErrorKind::Invalid);
    let wrong = Part { version: VersionId([1; 16]), ..parts[0].clone() };
    refused(meta.complete_upload(complete(new_version(&client, bucket.id(), "film"), &[wrong])).await, ErrorKind::Conflict);
    let object = meta.complete_upload(complete(new_version(&client, bucket.id(), "film"), &parts[..2])).await.unwrap();
    assert_eq!((object.head.size_bytes, object.head.etag.as_str()), (40_000, "a-tag"));
    assert_eq!(bucket.get("film").await.unwrap(), [one, two].concat());
    refused(meta.upload(upload.id).await, ErrorKind::NotFound);
    meta.abort_upload(other.id).await.unwrap();
    refused(meta.abort_upload(other.id).await, ErrorKind::NotFound);
    refused(meta.list_parts(other.id, 0, 10).await, ErrorKind::NotFound);
    fleet.bench.gateway.stop().await;
}

#[tokio::test]
async fn what_is_in_the_trash_comes_back() {
    let fleet = Fleet::with(6, &["--trash-window-ms=600000"]).await;
    let client = fleet.client().await;
    let bucket = client.ensure_bucket("photos").await.unwrap();
    let (meta, bytes) = (client.engine().meta(), payload(1));
    for at in ["a", "a", "b"] {
        bucket.put(at, bytes.clone()).await.unwrap();
        assert!(bucket.delete(at).await.unwrap());
    }
    let all: Vec<_> = bucket.trash("").try_collect().await.unwrap();
    assert_eq!(all.iter().map(|trashed| trashed.head.key.as_str()).collect::<Vec<_>>(), ["a", "a", "b"]);
    let after = Some(("a".to_owned(), all[0].head.version));
    assert_eq!(meta.list_trash(bucket.id(), "a", after, 10).await.unwrap(), all[1..2]);
    assert_eq!(meta.usage(bucket.id()).await.unwrap().trash_bytes, 60_000);
    bucket.restore("a", all[0].head.version).await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap(), bytes);
    let (key, version) = (key("a"), all[1].head.version);
    refused(meta.restore_object(bucket.id(), &key, version, Precondition::Absent).await, ErrorKind::Precondition);
    refused(meta.restore_object(bucket.id(), &key, all[0].head.version, Precondition::None).await, ErrorKind::NotFound);
    fleet.bench.gateway.stop().await;
}

/// Whatever is asked of another's bucket is answered as if there were none.
#[tokio::test]
async fn nobody_reaches_into_another_s_bucket() {
    let fleet = Fleet::with(6, &["--trash-window-ms=600000"]).await;
    let (owner, stranger) = (fleet.client().await, fleet.stranger().await);
    let theirs = owner.ensure_bucket("photos").await.unwrap();
    let own = stranger.ensure_bucket("album").await.unwrap();
    theirs.put("gone", payload(1)).await.unwrap();
    let gone = theirs.head("gone").await.unwrap();
    theirs.delete("gone").await.unwrap();
    theirs.put("cat", payload(1)).await.unwrap();
    let upload = begun(&owner, theirs.id(), "film");
    owner.engine().meta().create_upload(upload.clone()).await.unwrap();
    let part = put_part(owner.engine(), upload.id, 1, payload(2)).await.unwrap();
    let cat = owner.engine().meta().object(theirs.id(), &key("cat")).await.unwrap();
    own.put("dog", payload(3)).await.unwrap();
    let (engine, meta) = (stranger.engine(), stranger.engine().meta());
    let dog = meta.object(own.id(), &key("dog")).await.unwrap();

    let into = |bucket| new_version(&stranger, bucket, "x");
    let none = ErrorKind::NotFound;
    refused(meta.copy_object(copy_of((theirs.id(), &cat), into(own.id()))).await, none);
    refused(meta.copy_object(copy_of((own.id(), &dog), into(theirs.id()))).await, none);
    refused(meta.rename_object(rename_of((theirs.id(), &cat), into(own.id()))).await, none);
    refused(meta.rename_object(rename_of((own.id(), &dog), into(theirs.id()))).await, none);
    refused(meta.usage(theirs.id()).await, none);
    refused(meta.list_trash(theirs.id(), "", None, 10).await, none);
    refused(meta.restore_object(theirs.id(), &gone.key, gone.version, Precondition::None).await, none);
    refused(meta.create_upload(begun(&stranger, theirs.id(), "film")).await, none);
    refused(meta.list_uploads(theirs.id(), "", None, 10).await, none);
    refused(meta.upload(upload.id).await, none);
    refused(meta.list_parts(upload.id, 0, 10).await, none);
    refused(put_part(engine, upload.id, 2, payload(2)).await, none);
    let choice = PartChoice { number: part.number, version: part.version };
    for bucket in [theirs.id(), own.id()] {
        let object = NewVersion { key: key("film"), ..into(bucket) };
        refused(meta.complete_upload(CompleteUpload { upload: upload.id, parts: vec![choice], object }).await, none);
    }
    refused(meta.abort_upload(upload.id).await, none);
    assert_eq!(meta.account_usage(AccountId([0; 16])).await.unwrap().held.object_bytes, 20_000, "the caller's, whoever is named");

    assert_eq!(theirs.get("cat").await.unwrap(), payload(1));
    assert_eq!(own.get("dog").await.unwrap(), payload(3));
    assert_eq!(owner.engine().meta().list_parts(upload.id, 0, 10).await.unwrap().len(), 1);
    fleet.bench.gateway.stop().await;
}

#[tokio::test]
async fn uploads_follow_the_settings_of_their_bucket() {
    let fleet = Fleet::new(6).await;
    let (client, inside) = (fleet.client().await, fleet.bench.gateway.engine.clone());
    let schemes = async || {
        let chunks = inside.meta().scan_chunks(None, 100).await.unwrap();
        chunks.iter().map(|chunk| (chunk.scheme.to_string(), chunk.copies.len())).collect::<Vec<_>>()
    };
    let own = BucketSettings { scheme: Scheme::new(2, 2).ok(), chunk_size_bytes: Some(64 << 10), write_quorum: Some(3) };
    let mut bucket = client.create_bucket_with("photos", own).await.unwrap();
    let bytes = Bytes::from(SplitMix64(3).bytes(100_000));
    bucket.put("cat", bytes.clone()).await.unwrap();
    assert_eq!(schemes().await, [("2+2".to_owned(), 4), ("2+2".to_owned(), 4)]);
    let upload = begun(&client, bucket.id(), "film");
    client.engine().meta().create_upload(upload.clone()).await.unwrap();
    assert_eq!(bucket.get("cat").await.unwrap(), bytes);
    bucket.delete("cat").await.unwrap();

    // Whoever knows the bucket as it was looks again.
    let stale = client.bucket("photos").await.unwrap();
    assert_eq!(stale.settings(), own);
    bucket.set_settings(BucketSettings::default()).await.unwrap();
    refused(stale.put("cat", payload(2)).await, ErrorKind::Invalid);
    client.bucket("photos").await.unwrap().put("cat", payload(2)).await.unwrap();
    assert_eq!(schemes().await, [("4+2".to_owned(), 6)]);

    // Whoever sets nothing has forgotten something.
    let request = message::SetBucketSettingsRequest { bucket_id: bucket.id().0.to_vec().into(), settings: None };
    let mut direct = ObjectServiceClient::new(SigningLayer::new(fleet.bench.root(), env()).layer(fleet.bench.channel.clone()));
    assert_eq!(direct.set_bucket_settings(request).await.unwrap_err().code(), tonic::Code::InvalidArgument);

    let impossible = BucketSettings { write_quorum: Some(2), ..own };
    refused(client.create_bucket_with("album", impossible).await, ErrorKind::Invalid);
    refused(bucket.set_settings(impossible).await, ErrorKind::Invalid);
    let stranger = fleet.stranger().await;
    refused(stranger.engine().meta().set_bucket_settings(bucket.id(), own).await, ErrorKind::NotFound);
    fleet.bench.gateway.stop().await;
}
