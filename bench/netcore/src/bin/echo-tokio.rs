//! The rival that netcore is measured against: an echo server on tokio, as most people would write it.
//!
//! `Framed` with `LengthDelimitedCodec` is the reference because it offers what netcore offers: owned frames
//! out of a stream, a limit of their length, and one call to send an answer. A loop over raw reads would be
//! faster and is no framework. `send` also flushes, which costs a write per frame; `--forward` is the way to
//! flush only when nothing more has been read, so that nobody can say the rival was hobbled.

use bench_netcore::frames::PAYLOAD_BYTES_MAX;
use bench_netcore::rival;
use bytes::BytesMut;
use clap::Parser;
use futures_util::{SinkExt, StreamExt, TryStreamExt};
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::net::TcpStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// Sends every frame back.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 is any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Flush when there is nothing more to read, instead of after every frame.
    #[arg(long)]
    forward: bool,
}

async fn echo(stream: TcpStream, forward: bool) -> io::Result<()> {
    let codec = LengthDelimitedCodec::builder()
        .max_frame_length(PAYLOAD_BYTES_MAX)
        .new_codec();
    let mut framed = Framed::new(stream, codec);
    if forward {
        let (sink, stream) = framed.split();
        return stream.map_ok(BytesMut::freeze).forward(sink).await;
    }
    while let Some(frame) = framed.next().await {
        framed.send(frame?.freeze()).await?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let Arguments { listen, forward } = Arguments::parse();
    // A broken connection is nobody's business but its own.
    let each = move |stream| async move { drop(echo(stream, forward).await) };
    match rival::serve(listen, each) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo-tokio: {error}");
            ExitCode::FAILURE
        }
    }
}
