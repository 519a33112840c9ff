//! Owns what the servers on tokio have in common: one thread, one listening socket, one task per connection.
//! Must never do less for a connection than its authors advise.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpSocket, TcpStream};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// Listens at `address`, says so, and runs `each` for every connection until there can be no more of them.
///
/// # Errors
/// The address cannot be had, or a connection cannot be accepted.
pub fn serve<F>(address: SocketAddr, each: impl Fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(accept(address, each))
}

async fn accept<F>(address: SocketAddr, each: impl Fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
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
        stream.set_nodelay(true)?;
        tokio::spawn(each(stream));
    }
}
