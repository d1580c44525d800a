//! Direct clients while nodes come and go.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use cyxcloud_core::testing::SplitMix64;
use cyxcloud_sdk::core::id::NodeId;
use cyxcloud_sdk::transport::grpc::AddressGuard;
use cyxcloud_sdk::{Cluster, ConnectOptions, ErrorKind, GetOptions, PutOptions};
use cyxcloud_server::node::{NodeArgs, Running};
use futures::stream::{self, BoxStream, StreamExt};

use super::Bench;

const CHUNK: usize = 64 << 10;

/// A gateway, nodes and a client of theirs in one process.
pub(super) struct Fleet {
    pub(super) bench: Bench,
    nodes: Mutex<Vec<Running>>,
    pub(super) scratch: tempfile::TempDir,
}

impl Fleet {
    pub(super) async fn new(nodes: usize) -> Self {
        Self::with(nodes, &[]).await
    }

    /// With more arguments of the gateway.
    pub(super) async fn with(nodes: usize, more: &[&str]) -> Self {
        let bench = Bench::new(&[&["--allow-node-cidr=127.0.0.0/8", "--scheme=4+2", "--repair=false"], more].concat()).await;
        let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let fleet = Self { bench, nodes: Mutex::default(), scratch };
        for _ in 0..nodes {
            fleet.add().await;
        }
        fleet
    }

    /// One more node, once the gateway places shards on it.
    async fn add(&self) -> NodeId {
        let number = self.nodes.lock().unwrap().len();
        let (path, gateway) = (self.scratch.path().join(number.to_string()), self.bench.gateway.grpc_addr.to_string());
        let node = Running::start(NodeArgs::parse_from([
            "node",
            "--grpc-host=127.0.0.1",
            "--grpc-port=0",
            "--metrics-port=0",
            "--allow-node-cidr=127.0.0.0/8",
            &format!("--node-name=n{number}"),
            &format!("--storage-path={}", path.display()),
            &format!("--central-server-addr={gateway}"),
            &format!("--join-token={}", self.bench.token),
        ]))
        .await
        .unwrap();
        let id = node.node.id;
        self.nodes.lock().unwrap().push(node);
        let begun = Instant::now();
        while !self.bench.gateway.engine.view().node(id).is_some_and(|node| node.writable) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{id:?} does not come online");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        id
    }

    /// Ends node `number` of those that are left.
    async fn stop(&self, number: usize) -> NodeId {
        let node = self.nodes.lock().unwrap().remove(number);
        let id = node.node.id;
        node.stop().await;
        id
    }

    fn id(&self, number: usize) -> NodeId {
        self.nodes.lock().unwrap()[number].node.id
    }

    /// A client with an access key of an account of its own.
    pub(super) async fn stranger(&self) -> Cluster {
        let pair = self.bench.gateway.keys.create("stranger").await.unwrap();
        let gateway = self.bench.gateway.grpc_addr.to_string();
        Cluster::connect(ConnectOptions::new(gateway, pair.access_key_id, pair.secret_access_key)).await.unwrap()
    }

    pub(super) async fn client(&self) -> Cluster {
        self.guarded_client(None).await
    }

    async fn guarded_client(&self, node_guard: Option<AddressGuard>) -> Cluster {
        let pair = self.bench.gateway.keys.root();
        let (id, secret) = (pair.access_key_id.clone(), pair.secret_access_key.clone());
        let options = ConnectOptions::new(self.bench.gateway.grpc_addr.to_string(), id, secret);
        Cluster::connect(ConnectOptions { node_guard, ..options }).await.unwrap()
    }
}

fn payload(chunks: usize) -> Bytes {
    SplitMix64(9).bytes(chunks * CHUNK).into()
}

/// The bytes with a pause after `chunks` of them, in which `meanwhile` happens.
fn paused<'a>(bytes: &Bytes, chunks: usize, meanwhile: impl Future<Output = ()> + Send + 'a) -> BoxStream<'a, std::io::Result<Bytes>> {
    let mut before = bytes.clone();
    let after = before.split_off(chunks * CHUNK);
    let pieces = |bytes: Bytes| (0..bytes.len() / CHUNK).map(move |n| Ok(bytes.slice(n * CHUNK..(n + 1) * CHUNK)));
    let late = async move {
        meanwhile.await;
        stream::iter(pieces(after))
    };
    stream::iter(pieces(before)).chain(stream::once(late).flatten()).boxed()
}

/// Puts six chunks while `meanwhile` happens after the third, and reads them back, directly and as S3 would.
async fn put_while(fleet: &Fleet, meanwhile: impl Future<Output = ()> + Send) {
    let (client, bytes) = (fleet.client().await, payload(6));
    let bucket = client.ensure_bucket("photos").await.unwrap();
    let options = PutOptions { chunk_size_bytes: Some(CHUNK as u32), ..PutOptions::default() };
    bucket.put_stream("cat", paused(&bytes, 3, meanwhile), options).await.unwrap();
    assert_eq!(bucket.get("cat").await.unwrap(), bytes);
    assert_eq!(fleet.client().await.bucket("photos").await.unwrap().get("cat").await.unwrap(), bytes);
}

#[tokio::test]
async fn an_upload_goes_around_nodes_that_take_no_more_shards() {
    let fleet = Fleet::new(8).await;
    put_while(&fleet, async {
        fleet.bench.gateway.engine.drain_node(fleet.id(0)).await.unwrap();
        fleet.bench.gateway.engine.drain_node(fleet.id(1)).await.unwrap();
    })
    .await;
    fleet.bench.gateway.stop().await;
}

#[tokio::test]
async fn an_upload_survives_a_node_that_was_removed() {
    let fleet = Fleet::new(7).await;
    put_while(&fleet, async {
        let gone = fleet.stop(0).await;
        fleet.bench.gateway.engine.remove_node(gone).await.unwrap();
    })
    .await;
    fleet.bench.gateway.stop().await;
}

/// Nobody knows it yet when the upload ends, least of all the gateway, which asks it for what it took.
#[tokio::test]
async fn an_upload_survives_a_node_that_dies_after_it_took_its_shards() {
    let fleet = Fleet::new(7).await;
    put_while(&fleet, async {
        fleet.stop(0).await;
    })
    .await;
    fleet.bench.gateway.stop().await;
}

/// More than it can do without: then it finds those that came meanwhile.
#[tokio::test]
async fn an_upload_finds_nodes_that_came_after_it_began() {
    let fleet = Fleet::new(6).await;
    put_while(&fleet, async {
        for number in 0..6 {
            fleet.add().await;
            fleet.bench.gateway.engine.drain_node(fleet.id(number)).await.unwrap();
        }
    })
    .await;
    fleet.bench.gateway.stop().await;
}

#[tokio::test]
async fn a_download_takes_a_node_that_is_gone_for_an_erasure() {
    let fleet = Fleet::new(6).await;
    let (client, bytes) = (fleet.client().await, payload(6));
    let bucket = client.ensure_bucket("photos").await.unwrap();
    let options = PutOptions { chunk_size_bytes: Some(CHUNK as u32), ..PutOptions::default() };
    bucket.put_stream("cat", paused(&bytes, 3, async {}), options).await.unwrap();
    let mut body = bucket.get_stream("cat", GetOptions::default()).await.unwrap().body;
    let mut read = body.next().await.unwrap().unwrap().to_vec();
    // One that nobody knows to be gone, and one that was taken out.
    fleet.stop(0).await;
    let gone = fleet.stop(0).await;
    fleet.bench.gateway.engine.remove_node(gone).await.unwrap();
    while let Some(piece) = body.next().await {
        read.extend_from_slice(&piece.unwrap());
    }
    assert_eq!(read, bytes);
    assert_eq!(bucket.get("cat").await.unwrap(), bytes);
    fleet.stop(0).await;
    assert_eq!(bucket.get("cat").await.unwrap_err().kind(), ErrorKind::Unavailable, "four of six are needed");
    fleet.bench.gateway.stop().await;
}

#[tokio::test]
async fn a_client_may_be_kept_from_addresses_that_are_not_public() {
    let fleet = Fleet::new(6).await;
    let options = || PutOptions { chunk_size_bytes: Some(CHUNK as u32), ..PutOptions::default() };
    let strict = fleet.guarded_client(Some(AddressGuard::default())).await.ensure_bucket("photos").await.unwrap();
    let refused = strict.put_stream("cat", paused(&payload(1), 1, async {}), options()).await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Unavailable && refused.to_string().contains("not a public address"), "{refused}");
    let loopback = AddressGuard::new(["127.0.0.0/8".parse().unwrap()]);
    let allowed = fleet.guarded_client(Some(loopback)).await.bucket("photos").await.unwrap();
    allowed.put_stream("cat", paused(&payload(1), 1, async {}), options()).await.unwrap();
    fleet.bench.gateway.stop().await;
}
