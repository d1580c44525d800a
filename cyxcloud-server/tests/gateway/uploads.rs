//! Uploads of direct clients whose time is over.

use std::time::{Duration, Instant};

use cyxcloud_proto::gateway::v1::object_service_client::ObjectServiceClient;
use cyxcloud_proto::gateway::v1::{AbortUploadRequest, PlanChunksRequest, PlanUploadRequest, PlanUploadResponse, RenewUploadRequest};
use cyxcloud_sdk::transport::grpc::{Signing, SigningLayer};
use cyxcloud_sdk::{Error, ErrorKind, wire};
use tonic::transport::Channel;
use tower::Layer;

use super::{Bench, env};

/// A client that asks by hand, and an upload of its.
struct ByHand {
    client: ObjectServiceClient<Signing<Channel>>,
    plan: PlanUploadResponse,
}

impl ByHand {
    async fn begin(bench: &Bench) -> Self {
        let mut client = ObjectServiceClient::new(SigningLayer::new(bench.root(), env()).layer(bench.channel.clone()));
        let plan = client.plan_upload(PlanUploadRequest { ttl_ms: 0 }).await.unwrap().into_inner();
        Self { client, plan }
    }

    async fn plans(&mut self) -> Result<(), Error> {
        let request = PlanChunksRequest { upload: self.plan.upload.clone(), ..PlanChunksRequest::default() };
        self.client.plan_chunks(request).await.map(drop).map_err(wire::error)
    }

    async fn renews(&mut self) -> Result<u64, Error> {
        let request = RenewUploadRequest { upload: self.plan.upload.clone(), ttl_ms: 0 };
        self.client.renew_upload(request).await.map(|renewed| renewed.into_inner().expires_ms).map_err(wire::error)
    }
}

#[tokio::test]
async fn an_upload_that_was_aborted_gets_no_plan() {
    let bench = Bench::local().await;
    let mut upload = ByHand::begin(&bench).await;
    upload.plans().await.unwrap();
    upload.client.abort_upload(AbortUploadRequest { upload: upload.plan.upload.clone() }).await.unwrap();
    let refused = upload.plans().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    bench.gateway.stop().await;
}

/// Whoever could renew for ever would hold back garbage collection for ever.
#[tokio::test]
async fn an_upload_is_not_renewed_for_ever() {
    let bench = Bench::new(&["--upload-max-ms=1000"]).await;
    let begun = Instant::now();
    let mut upload = ByHand::begin(&bench).await;
    let end_ms = upload.plan.expires_ms;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(upload.renews().await.unwrap().abs_diff(end_ms) < 200, "renewing does not move the end");
    upload.plans().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1100).saturating_sub(begun.elapsed())).await;
    let refused = upload.renews().await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Conflict && refused.to_string().contains("--upload-max-ms"), "{refused}");
    assert_eq!(upload.plans().await.unwrap_err().kind(), ErrorKind::Conflict);
    let fence = bench.gateway.engine.meta().fence().await.unwrap();
    assert!(fence > upload.plan.epoch, "it holds nothing back any more");
    bench.gateway.stop().await;
}
