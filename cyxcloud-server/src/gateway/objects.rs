//! The control plane of direct clients, [`ObjectService`] of the .proto files: they code and move shards themselves; here they learn where, get the
//! capabilities for it, and make the result visible. Nothing they say is believed that can be asked of a node.

mod check;
mod copies;
mod multipart;
mod plan;
mod trash;
mod uploads;

use std::collections::HashSet;
use std::sync::Arc;

use cyxcloud_proto::gateway::v1::object_service_server::ObjectService;
use cyxcloud_proto::gateway::v1::{self as message};
use cyxcloud_sdk::core::Timestamp;
use cyxcloud_sdk::core::data::chunk::shard_len;
use cyxcloud_sdk::core::data::manifest::{ChunkRecord, Copy};
use cyxcloud_sdk::core::engine::Engine;
use cyxcloud_sdk::core::id::{AccountId, BucketId, BucketName, ChunkId, ObjectKey, ShardKey};
use cyxcloud_sdk::core::port::{Bucket, NewVersion, Object};
use cyxcloud_sdk::credential::{Capability, Identity};
use cyxcloud_sdk::transport::grpc::Addresses;
use cyxcloud_sdk::wire::{self, object as convert};
use cyxcloud_sdk::{Error, ErrorKind, Result};
use tonic::{Request, Response, Status};

use crate::grpc::Caller;
use uploads::Upload;

/// Most chunks that one request may be about.
const MAX_CHUNKS: usize = 64;
/// Most objects of one list.
const MAX_LIST: usize = 1000;

/// The service over an engine.
pub struct Objects {
    engine: Arc<Engine>,
    addresses: Arc<dyn Addresses>,
    cluster: Arc<Identity>,
}

impl Objects {
    /// Serves the owners of access keys. `cluster` signs capabilities, `addresses` says where nodes are.
    pub fn new(engine: Arc<Engine>, addresses: Arc<dyn Addresses>, cluster: Arc<Identity>) -> Self {
        Self { engine, addresses, cluster }
    }

    fn nodes(&self) -> Vec<message::NodeAddress> {
        let address = |node| self.addresses.address(node).unwrap_or_default();
        self.engine.view().nodes().iter().map(|node| convert::node_message(node, address(node.id))).collect()
    }

    /// The bucket, if it is the caller's: others need not even learn that it exists.
    async fn bucket(&self, account: AccountId, id: &[u8]) -> Result<Bucket> {
        let id: BucketId = convert::bucket_id(id)?;
        let buckets = self.engine.meta().list_buckets(account).await?;
        buckets.into_iter().find(|bucket| bucket.id == id).ok_or_else(|| Error::not_found("the bucket does not exist"))
    }

    /// The upload of this name: what is stored under a lease that is over is garbage already, and no right to store it is given.
    async fn live_upload(&self, account: AccountId, name: &[u8]) -> Result<Upload> {
        let upload = Upload::open(&self.cluster, account, name)?;
        match self.engine.meta().lease(upload.epoch).await {
            Ok(_) => Ok(upload),
            Err(e) if e.kind() == ErrorKind::Conflict => {
                Err(Error::conflict("this upload has expired or was ended; begin it again").with_source(e))
            }
            Err(e) => Err(e),
        }
    }

    /// What a client wants to make, with only what it may say of it.
    async fn new_version(&self, account: AccountId, new: Option<message::NewVersion>) -> Result<NewVersion> {
        let new = wire::required(new, "object")?;
        let bucket = self.bucket(account, &new.bucket_id).await?;
        new_version(&bucket, new, self.engine.now())
    }

    fn granted(&self, copy: Copy, capability: &Capability) -> message::PlannedCopy {
        message::PlannedCopy {
            copy: Some(convert::copy_message(copy)),
            address: self.addresses.address(copy.node).unwrap_or_default(),
            capability: capability.sign(&self.cluster),
        }
    }

    async fn locate(&self, account: AccountId, request: message::LocateChunksRequest) -> Result<Vec<message::LocatedChunk>> {
        let ids: Vec<ChunkId> = request.chunk_ids.iter().map(|id| wire::chunk_id(id)).collect::<Result<_>>()?;
        at_most(ids.len(), MAX_CHUNKS, "chunks")?;
        let bucket = self.bucket(account, &request.bucket_id).await?;
        let object = self.engine.meta().object(bucket.id, &ObjectKey::new(request.key)?).await?;
        if object.head.version != convert::version_id(&request.version)? {
            return Err(Error::conflict("the object was replaced; read it again"));
        }
        let theirs: HashSet<ChunkId> = object.manifest.chunks().iter().map(|chunk| chunk.id).collect();
        if let Some(other) = ids.iter().find(|id| !theirs.contains(id)) {
            return Err(Error::not_found(format!("the object has no {other:?}")));
        }
        let records = self.engine.meta().chunks(&ids).await?;
        records
            .into_iter()
            .map(|record| {
                record.map(|record| self.located(&record)).ok_or_else(|| Error::conflict("the object was replaced; read it again"))
            })
            .collect()
    }

    fn located(&self, record: &ChunkRecord) -> message::LocatedChunk {
        let (now, payload_bytes) = (self.engine.now(), shard_len(record.scheme, record.size_bytes) as u64);
        let grant = |copy: &Copy| {
            let key = ShardKey { chunk: record.id, index: copy.shard };
            self.granted(*copy, &Capability::read(copy.node, key, payload_bytes, now))
        };
        message::LocatedChunk { chunk: Some(convert::chunk_message(record)), copies: record.copies.iter().map(grant).collect() }
    }

    async fn complete(&self, account: AccountId, request: message::CompleteUploadRequest) -> Result<message::Object> {
        let upload = self.live_upload(account, &request.upload).await?;
        let message::CompleteUploadRequest { bucket_id, key, version, etag, metadata, precondition, manifest, chunks, .. } = request;
        let new = message::NewVersion { bucket_id, key, version, etag, metadata, precondition };
        let bucket = self.bucket(account, &new.bucket_id).await?;
        let object = new_version(&bucket, new, self.engine.now())?;
        let manifest = convert::manifest(manifest)?;
        check::compact(&manifest, self.engine.policy())?;
        let chunks = chunks.into_iter().map(|chunk| convert::chunk(Some(chunk))).collect::<Result<Vec<_>>>()?;
        let staged = self.engine.stage_direct(upload.epoch, &bucket.settings, manifest, chunks).await?;
        Ok(convert::object_message(&self.engine.commit(staged, object).await?))
    }
}

fn new_version(bucket: &Bucket, new: message::NewVersion, modified: Timestamp) -> Result<NewVersion> {
    Ok(NewVersion {
        bucket: bucket.id,
        key: ObjectKey::new(new.key)?,
        version: convert::version_id(&new.version)?,
        etag: check::etag(new.etag)?,
        modified,
        metadata: check::metadata(convert::metadata(new.metadata))?,
        precondition: convert::precondition(new.precondition)?,
    })
}

/// An object as its owner sees it: what the shell keeps for itself is nobody else's business.
fn shown(mut object: Object) -> Option<message::Object> {
    object.head.metadata.system.clear();
    Some(convert::object_message(&object))
}

fn at_most(count: usize, most: usize, what: &str) -> Result<()> {
    if count <= most { Ok(()) } else { Err(Error::invalid(format!("at most {most} {what} at once, not {count}"))) }
}

/// An answer, or the error as gRPC has it.
fn answer<T>(result: Result<T>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(|e| wire::status(&e))
}

#[tonic::async_trait]
impl ObjectService for Objects {
    async fn get_cluster(&self, request: Request<message::GetClusterRequest>) -> Result<Response<message::GetClusterResponse>, Status> {
        let account = Caller::account(&request)?;
        let policy = self.engine.policy();
        let now = self.engine.meta().now().await.map_err(|e| wire::status(&e))?;
        Ok(Response::new(message::GetClusterResponse {
            data_shards: policy.scheme.data() as u32,
            parity_shards: policy.scheme.parity() as u32,
            chunk_size_bytes: policy.chunk_size_bytes,
            inline_max_bytes: policy.inline_max_bytes,
            node_tolerance: policy.node_tolerance.into(),
            lease_ttl_ms: policy.lease_ttl_ms,
            now_ms: now.0,
            nodes: self.nodes(),
            account_id: wire::id(account),
        }))
    }

    async fn get_health(&self, request: Request<message::GetHealthRequest>) -> Result<Response<message::GetHealthResponse>, Status> {
        Caller::account(&request)?;
        answer(self.engine.cluster_health().await.map(|health| wire::health::health_message(&health)))
    }

    async fn create_bucket(
        &self,
        request: Request<message::CreateBucketRequest>,
    ) -> Result<Response<message::CreateBucketResponse>, Status> {
        let owner = Caller::account(&request)?;
        let message::CreateBucketRequest { name, bucket_id, settings } = request.into_inner();
        let create = async {
            let name = check::bucket_name(BucketName::new(name)?)?;
            let settings = convert::settings(settings)?;
            let bucket = Bucket { id: convert::bucket_id(&bucket_id)?, name, owner, created: self.engine.now(), settings };
            self.engine.meta().create_bucket(bucket.clone()).await?;
            Ok(message::CreateBucketResponse { bucket: Some(convert::bucket_message(&bucket)) })
        };
        answer(create.await)
    }

    async fn get_bucket(&self, request: Request<message::GetBucketRequest>) -> Result<Response<message::GetBucketResponse>, Status> {
        let account = Caller::account(&request)?;
        let find = async {
            let name = BucketName::new(request.into_inner().name)?;
            let bucket = self.engine.meta().bucket(&name).await?;
            if bucket.owner != account {
                return Err(Error::not_found(format!("bucket {name} does not exist")));
            }
            Ok(message::GetBucketResponse { bucket: Some(convert::bucket_message(&bucket)) })
        };
        answer(find.await)
    }

    async fn list_buckets(&self, request: Request<message::ListBucketsRequest>) -> Result<Response<message::ListBucketsResponse>, Status> {
        let account = Caller::account(&request)?;
        let listed = self.engine.meta().list_buckets(account).await;
        answer(listed.map(|buckets| message::ListBucketsResponse { buckets: buckets.iter().map(convert::bucket_message).collect() }))
    }

    async fn set_bucket_settings(
        &self,
        request: Request<message::SetBucketSettingsRequest>,
    ) -> Result<Response<message::SetBucketSettingsResponse>, Status> {
        let account = Caller::account(&request)?;
        let message::SetBucketSettingsRequest { bucket_id, settings } = request.into_inner();
        let set = async {
            let (bucket, settings) =
                (self.bucket(account, &bucket_id).await?, convert::settings(Some(wire::required(settings, "settings")?))?);
            self.engine.meta().set_bucket_settings(bucket.id, settings).await
        };
        answer(set.await.map(|()| message::SetBucketSettingsResponse {}))
    }

    async fn delete_bucket(
        &self,
        request: Request<message::DeleteBucketRequest>,
    ) -> Result<Response<message::DeleteBucketResponse>, Status> {
        let account = Caller::account(&request)?;
        let delete = async {
            let bucket = self.bucket(account, &request.into_inner().bucket_id).await?;
            self.engine.meta().delete_bucket(bucket.id).await
        };
        answer(delete.await.map(|()| message::DeleteBucketResponse {}))
    }

    async fn plan_upload(&self, request: Request<message::PlanUploadRequest>) -> Result<Response<message::PlanUploadResponse>, Status> {
        let account = Caller::account(&request)?;
        let begin = async {
            let ttl_ms = uploads::bounded_ttl_ms(self.engine.policy(), request.into_inner().ttl_ms);
            let begun = self.engine.meta().now().await?;
            let lease = self.engine.meta().begin_lease(ttl_ms).await?;
            Ok(message::PlanUploadResponse {
                upload: Upload { account, epoch: lease.epoch, begun }.seal(&self.cluster),
                file_id: wire::id(self.engine.new_id()),
                epoch: lease.epoch,
                expires_ms: lease.expires.0,
                nodes: self.nodes(),
            })
        };
        answer(begin.await)
    }

    async fn reserve_upload(
        &self,
        request: Request<message::ReserveUploadRequest>,
    ) -> Result<Response<message::ReserveUploadResponse>, Status> {
        let account = Caller::account(&request)?;
        let message::ReserveUploadRequest { upload, bucket_id, size_bytes } = request.into_inner();
        let reserve = async {
            let upload = Upload::open(&self.cluster, account, &upload)?;
            let bucket = self.bucket(account, &bucket_id).await?;
            self.engine.meta().reserve(upload.epoch, bucket.id, size_bytes).await
        };
        answer(reserve.await.map(|()| message::ReserveUploadResponse {}))
    }

    async fn plan_chunks(&self, request: Request<message::PlanChunksRequest>) -> Result<Response<message::PlanChunksResponse>, Status> {
        let account = Caller::account(&request)?;
        answer(self.plan_all(account, request.into_inner()).await)
    }

    async fn renew_upload(&self, request: Request<message::RenewUploadRequest>) -> Result<Response<message::RenewUploadResponse>, Status> {
        let account = Caller::account(&request)?;
        let message::RenewUploadRequest { upload, ttl_ms } = request.into_inner();
        let renew = async {
            let upload = Upload::open(&self.cluster, account, &upload)?;
            let meta = self.engine.meta();
            let ttl_ms = upload.ttl_ms(self.engine.policy(), ttl_ms, meta.now().await?)?;
            let lease = meta.renew_lease(upload.epoch, ttl_ms).await?;
            Ok(message::RenewUploadResponse { epoch: lease.epoch, expires_ms: lease.expires.0 })
        };
        answer(renew.await)
    }

    async fn abort_upload(&self, request: Request<message::AbortUploadRequest>) -> Result<Response<message::AbortUploadResponse>, Status> {
        let account = Caller::account(&request)?;
        let abort = async {
            let upload = Upload::open(&self.cluster, account, &request.into_inner().upload)?;
            self.engine.meta().end_lease(upload.epoch).await
        };
        answer(abort.await.map(|()| message::AbortUploadResponse {}))
    }

    async fn complete_upload(
        &self,
        request: Request<message::CompleteUploadRequest>,
    ) -> Result<Response<message::CompleteUploadResponse>, Status> {
        let account = Caller::account(&request)?;
        let completed = self.complete(account, request.into_inner()).await;
        answer(completed.map(|object| message::CompleteUploadResponse { object: Some(object) }))
    }

    async fn locate_object(
        &self,
        request: Request<message::LocateObjectRequest>,
    ) -> Result<Response<message::LocateObjectResponse>, Status> {
        let account = Caller::account(&request)?;
        let message::LocateObjectRequest { bucket_id, key } = request.into_inner();
        let find = async {
            let bucket = self.bucket(account, &bucket_id).await?;
            let object = self.engine.meta().object(bucket.id, &ObjectKey::new(key)?).await?;
            Ok(message::LocateObjectResponse { object: shown(object), nodes: self.nodes() })
        };
        answer(find.await)
    }

    async fn locate_chunks(
        &self,
        request: Request<message::LocateChunksRequest>,
    ) -> Result<Response<message::LocateChunksResponse>, Status> {
        let account = Caller::account(&request)?;
        let located = self.locate(account, request.into_inner()).await;
        answer(located.map(|chunks| message::LocateChunksResponse { chunks }))
    }

    async fn list_objects(&self, request: Request<message::ListObjectsRequest>) -> Result<Response<message::ListObjectsResponse>, Status> {
        let account = Caller::account(&request)?;
        let message::ListObjectsRequest { bucket_id, prefix, start, limit } = request.into_inner();
        let list = async {
            let bucket = self.bucket(account, &bucket_id).await?;
            let limit = (limit as usize).min(MAX_LIST);
            let heads = self.engine.meta().scan_objects(bucket.id, &prefix, convert::start(start), limit).await?;
            Ok(message::ListObjectsResponse { objects: heads.iter().map(convert::head_message).collect() })
        };
        answer(list.await)
    }

    async fn delete_object(
        &self,
        request: Request<message::DeleteObjectRequest>,
    ) -> Result<Response<message::DeleteObjectResponse>, Status> {
        let account = Caller::account(&request)?;
        let message::DeleteObjectRequest { bucket_id, key, precondition } = request.into_inner();
        let delete = async {
            let bucket = self.bucket(account, &bucket_id).await?;
            let existed = self.engine.delete_object(bucket.id, &ObjectKey::new(key)?, convert::precondition(precondition)?).await?;
            Ok(message::DeleteObjectResponse { existed })
        };
        answer(delete.await)
    }

    async fn copy_object(&self, request: Request<message::CopyObjectRequest>) -> Result<Response<message::CopyObjectResponse>, Status> {
        let account = Caller::account(&request)?;
        answer(self.copy(account, request.into_inner()).await.map(|object| message::CopyObjectResponse { object: shown(object) }))
    }

    async fn rename_object(
        &self,
        request: Request<message::RenameObjectRequest>,
    ) -> Result<Response<message::RenameObjectResponse>, Status> {
        let account = Caller::account(&request)?;
        answer(self.rename(account, request.into_inner()).await.map(|object| message::RenameObjectResponse { object: shown(object) }))
    }

    async fn get_usage(&self, request: Request<message::GetUsageRequest>) -> Result<Response<message::GetUsageResponse>, Status> {
        let account = Caller::account(&request)?;
        answer(self.usage(account, &request.into_inner().bucket_id).await)
    }

    async fn list_trash(&self, request: Request<message::ListTrashRequest>) -> Result<Response<message::ListTrashResponse>, Status> {
        let account = Caller::account(&request)?;
        answer(self.trash(account, request.into_inner()).await)
    }

    async fn restore_object(
        &self,
        request: Request<message::RestoreObjectRequest>,
    ) -> Result<Response<message::RestoreObjectResponse>, Status> {
        let account = Caller::account(&request)?;
        answer(self.restore(account, request.into_inner()).await.map(|object| message::RestoreObjectResponse { object: shown(object) }))
    }

    async fn create_multipart_upload(
        &self,
        request: Request<message::CreateMultipartUploadRequest>,
    ) -> Result<Response<message::CreateMultipartUploadResponse>, Status> {
        let account = Caller::account(&request)?;
        answer(self.create_multipart(account, request.into_inner()).await.map(|()| message::CreateMultipartUploadResponse {}))
    }

    async fn get_multipart_upload(
        &self,
        request: Request<message::GetMultipartUploadRequest>,
    ) -> Result<Response<message::GetMultipartUploadResponse>, Status> {
        let account = Caller::account(&request)?;
        answer(self.get_multipart(account, &request.into_inner().multipart_id).await)
    }

    async fn list_multipart_uploads(
        &self,
        request: Request<message::ListMultipartUploadsRequest>,
    ) -> Result<Response<message::ListMultipartUploadsResponse>, Status> {
        let account = Caller::account(&request)?;
        answer(self.list_multipart(account, request.into_inner()).await)
    }

    async fn commit_part(&self, request: Request<message::CommitPartRequest>) -> Result<Response<message::CommitPartResponse>, Status> {
        let account = Caller::account(&request)?;
        answer(self.commit_one_part(account, request.into_inner()).await.map(|()| message::CommitPartResponse {}))
    }

    async fn list_parts(&self, request: Request<message::ListPartsRequest>) -> Result<Response<message::ListPartsResponse>, Status> {
        let account = Caller::account(&request)?;
        answer(self.parts(account, request.into_inner()).await)
    }

    async fn complete_multipart_upload(
        &self,
        request: Request<message::CompleteMultipartUploadRequest>,
    ) -> Result<Response<message::CompleteMultipartUploadResponse>, Status> {
        let account = Caller::account(&request)?;
        answer(
            self.complete_multipart(account, request.into_inner())
                .await
                .map(|object| message::CompleteMultipartUploadResponse { object: shown(object) }),
        )
    }

    async fn abort_multipart_upload(
        &self,
        request: Request<message::AbortMultipartUploadRequest>,
    ) -> Result<Response<message::AbortMultipartUploadResponse>, Status> {
        let account = Caller::account(&request)?;
        answer(self.abort_multipart(account, &request.into_inner().multipart_id).await.map(|()| message::AbortMultipartUploadResponse {}))
    }
}
