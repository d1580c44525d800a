//! All rounds of a run.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use bytes::Bytes;

use super::args::LoadArgs;
use super::bodies;
use super::client::{Client, Target};
use super::phase::{self, measure};
use super::processes::Server;
use super::raw::{Disk, Layout};
use super::report::{Report, Subject};

/// Measures what `args` ask for.
///
/// # Errors
/// When a server does not start, refuses or takes too long, and when the disk does.
pub async fn run(args: &LoadArgs) -> Result<Report> {
    let (object_bytes, concurrency) = (args.object_bytes(), args.concurrency as usize);
    let dev = match (&args.dev, &args.data_dir) {
        (Some(binary), Some(data_dir)) => Some(Server::dev(binary, &args.dev_args, data_dir, &args.bucket)?),
        _ => None,
    };
    let null = if args.no_comparisons { None } else { Some(Server::null(object_bytes)?) };
    let target = match &dev {
        Some(server) => server.target().clone(),
        None => given_target(args)?,
    };
    let endpoint = Endpoint::new(&target, dev.as_ref().map(Server::pid), args)?;
    endpoint.client.ensure_bucket().await?;
    let null = match &null {
        Some(server) => Some(Endpoint::new(server.target(), Some(server.pid()), args)?),
        None => None,
    };
    let null_object = bodies::object(bodies::NULL_SEED, object_bytes);
    let raw_dir = args.data_dir.as_deref().filter(|_| !args.no_comparisons);

    let mut report = Report { objects: args.objects, object_bytes, concurrency: args.concurrency, ..Report::default() };
    let run_seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    for number in 1..=args.rounds {
        let objects = Arc::new(bodies::round(run_seed, number, args.objects, object_bytes));
        let mut round = Round { number, concurrency, objects, report: &mut report };
        round.put(Subject::Put, &endpoint).await?;
        round.get(Subject::Get, &endpoint, None).await?;
        round.delete(&endpoint).await?;
        if let Some(null) = &null {
            round.put(Subject::NullPut, null).await?;
            round.get(Subject::NullGet, null, Some(&null_object)).await?;
        }
        if let Some(parent) = raw_dir {
            round.raw(Subject::RawFiles, Layout::Files, parent).await?;
            round.raw(Subject::RawSequential, Layout::Sequential, parent).await?;
        }
    }
    report.summarise();
    Ok(report)
}

fn given_target(args: &LoadArgs) -> Result<Target> {
    let given = |value: &Option<String>, option: &str| value.clone().with_context(|| format!("{option} is missing"));
    Ok(Target {
        endpoint: given(&args.endpoint, "--endpoint")?,
        access_key: given(&args.access_key, "--access-key")?,
        secret_key: given(&args.secret_key, "--secret-key")?,
        region: args.region.clone(),
        bucket: args.bucket.clone(),
    })
}

/// A server with its client.
struct Endpoint {
    client: Arc<Client>,
    pid: Option<u32>,
}

impl Endpoint {
    fn new(target: &Target, pid: Option<u32>, args: &LoadArgs) -> Result<Self> {
        Ok(Self { client: Arc::new(Client::new(target, args.concurrency as usize, args.timeout())?), pid })
    }
}

/// One round: its objects, and where its figures go.
struct Round<'a> {
    number: u32,
    concurrency: usize,
    objects: Arc<Vec<Bytes>>,
    report: &'a mut Report,
}

impl Round<'_> {
    async fn put(&mut self, subject: Subject, endpoint: &Endpoint) -> Result<()> {
        let (client, objects, number) = (Arc::clone(&endpoint.client), Arc::clone(&self.objects), self.number);
        let put = move |index: usize| {
            let (client, body) = (Arc::clone(&client), objects[index].clone());
            async move { client.put(&key(number, index), body).await }
        };
        self.measure(subject, endpoint.pid, phase::run(self.objects.len(), self.concurrency, put)).await
    }

    /// Expects what was put, or always `same`.
    async fn get(&mut self, subject: Subject, endpoint: &Endpoint, same: Option<&Bytes>) -> Result<()> {
        let (client, objects, number) = (Arc::clone(&endpoint.client), Arc::clone(&self.objects), self.number);
        let same = same.cloned();
        let get = move |index: usize| {
            let (client, expected) = (Arc::clone(&client), same.as_ref().unwrap_or(&objects[index]).clone());
            async move { client.get(&key(number, index), &expected).await }
        };
        self.measure(subject, endpoint.pid, phase::run(self.objects.len(), self.concurrency, get)).await
    }

    /// Leaves the bucket as it was, unmeasured.
    async fn delete(&self, endpoint: &Endpoint) -> Result<()> {
        eprintln!("round {}: deleting", self.number);
        let (client, number) = (Arc::clone(&endpoint.client), self.number);
        let delete = move |index: usize| {
            let client = Arc::clone(&client);
            async move { client.delete(&key(number, index)).await }
        };
        phase::run(self.objects.len(), self.concurrency, delete).await.map(drop)
    }

    async fn raw(&mut self, subject: Subject, layout: Layout, parent: &Path) -> Result<()> {
        let (objects, threads, disk) = (Arc::clone(&self.objects), self.concurrency, Arc::new(Disk::prepare(parent, layout)?));
        let writing = Arc::clone(&disk);
        let work = async move { tokio::task::spawn_blocking(move || writing.write(&objects, threads)).await? };
        self.measure(subject, None, work).await
    }

    async fn measure(&mut self, subject: Subject, server: Option<u32>, work: impl Future<Output = Result<Vec<Duration>>>) -> Result<()> {
        eprintln!("round {}: {}", self.number, subject.name());
        let bytes = self.objects.iter().map(|object| object.len() as u64).sum();
        let cost = measure(bytes, server, work).await.with_context(|| format!("round {}, {}", self.number, subject.name()))?;
        self.report.push(self.number, subject, cost);
        Ok(())
    }
}

fn key(round: u32, index: usize) -> String {
    format!("round-{round}/object-{index}")
}
