//! Where a server listens.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::{Result, ServiceError};

/// A free port, on an address of the loopback network that no other server of this machine's tests has: while a
/// server is down, nobody else is given its port.
pub(crate) fn free() -> Result<SocketAddr> {
    let listener = TcpListener::bind((own_loopback(), 0)).map_err(ServiceError::because("no free port"))?;
    listener
        .local_addr()
        .map_err(ServiceError::because("no free port"))
}

fn own_loopback() -> Ipv4Addr {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    if !cfg!(target_os = "linux") {
        return Ipv4Addr::LOCALHOST;
    }
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let [_, number] = TAKEN.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    // The second byte is at least 1, the last neither 0 nor 255.
    Ipv4Addr::new(127, 1 + (high ^ middle) % 250, low, 1 + number % 254)
}
