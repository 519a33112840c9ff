//! The rival that netcore is measured against: an echo server on tokio, as most people would write it.
//!
//! `Framed` with `LengthDelimitedCodec` is the reference because it offers what netcore offers: owned frames
//! out of a stream, a limit of their length, and one call to send an answer. A loop over raw reads would be
//! faster and is no framework. `send` also flushes, which costs a write per frame; `--forward` is the way to
//! flush only when nothing more has been read, so that nobody can say the rival was hobbled. One thread, like
//! the others.

use bench_netcore::frames::PAYLOAD_BYTES_MAX;
use bytes::BytesMut;
use clap::Parser;
use futures_util::{SinkExt, StreamExt, TryStreamExt};
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

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
    stream.set_nodelay(true)?;
    let codec = LengthDelimitedCodec::builder()
        .max_frame_length(PAYLOAD_BYTES_MAX)
        .new_codec();
    let mut framed = Framed::new(stream, codec);
    if forward {
        let (sink, stream) = framed.split();
        return stream.map_ok(BytesMut::freeze).forward(sink).await;
    }
    while let Some(frame) = framed.next().await {
        framed.send(frame.map(BytesMut::freeze)?).await?;
    }
    Ok(())
}

async fn serve(Arguments { listen: address, forward }: Arguments) -> io::Result<()> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        // A broken connection is nobody's business but its own.
        tokio::spawn(async move { drop(echo(stream, forward).await) });
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let served = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .and_then(|runtime| runtime.block_on(serve(arguments)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo-tokio: {error}");
            ExitCode::FAILURE
        }
    }
}
