//! The rival of HTTP servers on netcore: hyper on tokio, which answers every request with the same 13 bytes.
//! It must never do anything for a request that the others do not.

use bench_netcore::rival;
use bytes::Bytes;
use clap::Parser;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::net::TcpStream;

const BODY: &[u8] = b"Hello, world!";

/// Answers every request with 13 bytes of text.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 is any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

async fn answer(_request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(BODY)));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

async fn connection(stream: TcpStream) {
    let served = http1::Builder::new()
        .keep_alive(true)
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await;
    // A broken connection is nobody's business but its own.
    drop(served);
}

fn main() -> ExitCode {
    match rival::serve(Arguments::parse().listen, connection) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http-hyper: {error}");
            ExitCode::FAILURE
        }
    }
}
