//! A server that swallows bodies and answers every GET with the same bytes: what is measured against it is the client.

use std::convert::Infallible;
use std::io::{Read, Write};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::bodies;

/// Prints its endpoint and serves until standard input ends, so that it never outlives who started it.
///
/// # Errors
/// When it cannot listen.
pub async fn run(object_bytes: usize) -> Result<()> {
    let object = bodies::object(bodies::NULL_SEED, object_bytes);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let serving = async {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let object = object.clone();
            let service = service_fn(move |request| answer(request, object.clone()));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    };
    let (end, ended) = oneshot::channel::<()>();
    // A thread of its own, which the end of the program does not wait for.
    std::thread::spawn(move || {
        // An error is an end as well.
        let _ = std::io::stdin().read(&mut [0]);
        drop(end);
    });
    tokio::select! {
        outcome = serving => outcome,
        _ = ended => Ok(()),
    }
}

async fn answer(request: Request<Incoming>, object: Bytes) -> Result<Response<Full<Bytes>>, Infallible> {
    let method = request.method().clone();
    let mut body = request.into_body();
    // A body that breaks off ends its connection; there is nobody to tell.
    while let Some(Ok(_)) = body.frame().await {}
    let mut answer = Response::new(Full::new(if method == Method::GET { object } else { Bytes::new() }));
    if method == Method::DELETE {
        *answer.status_mut() = StatusCode::NO_CONTENT;
    }
    Ok(answer)
}
