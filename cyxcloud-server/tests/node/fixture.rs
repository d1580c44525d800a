//! A node that serves, and somebody who may ask it everything.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use cyxcloud_core::testing::SplitMix64;
use cyxcloud_proto::node::v1::StoreChunkRequest;
use cyxcloud_proto::node::v1::chunk_service_client::ChunkServiceClient;
use cyxcloud_proto::node::v1::data_service_client::DataServiceClient;
use cyxcloud_sdk::core::Timestamp;
use cyxcloud_sdk::core::data::erasure::Scheme;
use cyxcloud_sdk::core::data::shard::Frame;
use cyxcloud_sdk::core::id::{ChunkId, NodeId, ShardKey};
use cyxcloud_sdk::core::port::{Deleted, Environment, ShardInfo, Space, Store};
use cyxcloud_sdk::credential::{Capability, Identity, PublicKey};
use cyxcloud_sdk::environment::TokioEnvironment;
use cyxcloud_sdk::store::{FilesOptions, FilesStore};
use cyxcloud_sdk::transport::grpc::{AddressGuard, Addresses, ChannelOptions, Channels, GrpcTransport, node_client};
use cyxcloud_sdk::{Error, Result, wire};
use cyxcloud_server::grpc::Connections;
use cyxcloud_server::node::home::Home;
use cyxcloud_server::node::serve::serve;
use cyxcloud_server::node::store::NodeStore;
use cyxcloud_server::node::trust::Trust;
use cyxcloud_server::node::work::{Closed, Node};
use cyxcloud_server::tls::ListenTls;
use tokio::net::TcpListener;
use tonic::transport::Channel;

pub const NODE: NodeId = NodeId([1; 16]);
pub const OTHER: NodeId = NodeId([2; 16]);

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

/// The key that every node of these tests is bound to.
pub fn cluster() -> Identity {
    Identity::from_secret([1; 32])
}

pub fn now() -> Timestamp {
    TokioEnvironment::default().now()
}

pub struct TestNode {
    pub node: Arc<Node>,
    pub address: SocketAddr,
    pub connections: Connections,
    pub home: Home,
    pub channels: Channels,
    pub store: Arc<TestStore>,
    _directory: tempfile::TempDir,
}

impl TestNode {
    /// The node [`NODE`], bound to [`cluster`].
    pub async fn start() -> Self {
        Self::start_as(NODE, Some(cluster().public_key())).await
    }

    /// The node [`NODE`] with TLS.
    pub async fn start_with(tls: &ListenTls) -> Self {
        Self::start_all(NODE, Some(cluster().public_key()), tls).await
    }

    pub async fn start_as(id: NodeId, bound_to: Option<PublicKey>) -> Self {
        Self::start_all(id, bound_to, &ListenTls::default()).await
    }

    async fn start_all(id: NodeId, bound_to: Option<PublicKey>, tls: &ListenTls) -> Self {
        cyxcloud_server::tls::install_provider();
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let root: PathBuf = directory.path().join("files");
        let home = Home::of(directory.path());
        let env: Arc<dyn Environment> = Arc::new(TokioEnvironment::default());
        let files = FilesStore::open(root, FilesOptions { capacity_bytes: 1 << 30, reserve_bytes: 0 }).await.unwrap();
        let store = Arc::new(TestStore { files, fails: AtomicBool::new(false) });
        let failed = store.clone();
        let loopback = AddressGuard::new(["127.0.0.0/8".parse().unwrap()]);
        let node = Arc::new(Node {
            id,
            identity: home.open_key().unwrap(),
            trust: Arc::new(Trust::open(id, home.clone(), bound_to, env.clone()).unwrap()),
            store: NodeStore::new(store.clone(), move || failed.fails.load(Ordering::Acquire)),
            peers: Channels::new(ChannelOptions { guard: Some(loopback), ..ChannelOptions::default() }),
            env,
            closed: Closed::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Connections::new(64);
        let (_, serving) = serve(node.clone(), listener, connections.clone(), tls.grpc().unwrap(), std::future::pending()).unwrap();
        tokio::spawn(serving);
        let channels = Channels::new(ChannelOptions::default());
        Self { node, address, connections, home, channels, store, _directory: directory }
    }

    pub fn channel(&self) -> Channel {
        self.channels.to(&self.address.to_string()).unwrap()
    }

    pub fn chunks(&self) -> ChunkServiceClient<Channel> {
        node_client(self.channel())
    }

    pub fn data(&self) -> DataServiceClient<Channel> {
        DataServiceClient::new(self.channel())
    }

    pub fn transport(&self) -> GrpcTransport {
        let env: Arc<dyn Environment> = Arc::new(TokioEnvironment::default());
        GrpcTransport::new(Arc::new(Here(self.node.id, self.address)), Arc::new(cluster()), self.channels.clone(), env)
    }

    /// How many shards it holds.
    pub async fn shards(&self) -> usize {
        self.store.files.list(None, 1000).await.unwrap().len()
    }

    /// Whether it still answers somebody who may ask.
    pub async fn goes_on(&self) -> bool {
        use cyxcloud_sdk::core::port::{NodeRequest, Transport};
        self.transport().call(self.node.id, NodeRequest::Space).await.is_ok()
    }
}

pub struct Here(pub NodeId, pub SocketAddr);

impl Addresses for Here {
    fn address(&self, node: NodeId) -> Option<String> {
        (node == self.0).then(|| self.1.to_string())
    }
}

/// Files that can be told to fail.
pub struct TestStore {
    pub files: FilesStore,
    pub fails: AtomicBool,
}

#[async_trait]
impl Store for TestStore {
    async fn put(&self, key: ShardKey, epoch: u64, pieces: Vec<Bytes>) -> Result<()> {
        if self.fails.load(Ordering::Acquire) {
            return Err(Error::internal("the disk is broken"));
        }
        self.files.put(key, epoch, pieces).await
    }

    async fn info(&self, key: ShardKey) -> Result<Option<ShardInfo>> {
        self.files.info(key).await
    }

    async fn read(&self, key: ShardKey, offset: u64, len: u64) -> Result<Bytes> {
        self.files.read(key, offset, len).await
    }

    async fn delete(&self, key: ShardKey, fence: u64) -> Result<Deleted> {
        self.files.delete(key, fence).await
    }

    async fn list(&self, after: Option<ShardKey>, limit: usize) -> Result<Vec<ShardInfo>> {
        self.files.list(after, limit).await
    }

    async fn space(&self) -> Result<Space> {
        self.files.space().await
    }
}

pub fn key(index: u8) -> ShardKey {
    ShardKey { chunk: ChunkId([9; 32]), index }
}

pub fn frame(index: u8) -> Frame {
    Frame::new(key(index), Scheme::DEFAULT, SplitMix64(index.into()).bytes(100_000).into()).unwrap()
}

pub fn store_message(index: u8) -> StoreChunkRequest {
    wire::store_message(5, &frame(index))
}

/// The right to store the shard of [`store_message`] on `node`.
pub fn may_store(node: NodeId, index: u8) -> Bytes {
    let frame = frame(index);
    Capability::store(node, key(index), frame.header().root, 100_000, 5, now()).sign(&cluster())
}

/// The right to read it.
pub fn may_read(node: NodeId, index: u8) -> Bytes {
    Capability::read(node, key(index), u64::MAX, now()).sign(&cluster())
}
