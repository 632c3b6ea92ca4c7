//! `object-store`: GetObject, HeadObject and PutObject of S3, by path, from memory.
//!
//! A bench must not measure its own servers. moto answers some 200 requests per second, and s3s-fs, which is
//! fast, knows no conditional GET, so that an unchanged object would cost a download that S3 does not charge.
//! This one answers `If-None-Match` with 304 and `Range` with 206, waits as long as it is told before each
//! answer, and counts. Signatures are not checked: that is what the tests with moto are for.
//!
//! Prints `listening on http://127.0.0.1:PORT` as its first line and serves until its standard input ends.
//! `POST /latency` with a number of milliseconds and `GET /counts` control it.
#![forbid(unsafe_code)]

mod objects;

use std::convert::Infallible;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, IF_NONE_MATCH, RANGE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use objects::Objects;

#[tokio::main(worker_threads = 2)]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    std::thread::spawn(|| {
        let mut ignored = [0; 1024];
        while matches!(std::io::stdin().read(&mut ignored), Ok(1..)) {}
        std::process::exit(0);
    });
    let objects = Arc::new(Objects::default());
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(stream, objects.clone()));
    }
}

async fn serve(stream: TcpStream, objects: Arc<Objects>) {
    // Without it, a small answer on a connection that stays open waits 40 ms for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let objects = objects.clone();
        async move { Ok::<_, Infallible>(answer(&objects, request).await) }
    });
    // An error here is the client's hanging up.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(objects: &Objects, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let path = head.uri.path();
    if let (&Method::GET, "/counts") = (&head.method, path) {
        let counts = serde_json::json!(objects.counts());
        return respond(StatusCode::OK, counts.to_string());
    }
    let Ok(body) = body.collect().await.map(|body| body.to_bytes()) else {
        return respond(StatusCode::BAD_REQUEST, String::new());
    };
    if let (&Method::POST, "/latency") = (&head.method, path) {
        let milliseconds = std::str::from_utf8(&body)
            .ok()
            .and_then(|text| text.trim().parse().ok());
        return match milliseconds {
            Some(milliseconds) => {
                objects.wait(Duration::from_millis(milliseconds));
                respond(StatusCode::OK, String::new())
            }
            None => respond(StatusCode::BAD_REQUEST, "a number of milliseconds".to_owned()),
        };
    }
    let latency = objects.latency();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    match head.method {
        Method::PUT => objects.put(path, header(CONTENT_TYPE), body),
        Method::GET => objects.get(path, header(IF_NONE_MATCH), header(RANGE)),
        Method::HEAD => objects.head(path),
        _ => respond(StatusCode::METHOD_NOT_ALLOWED, String::new()),
    }
}

fn respond(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
}
