//! What a supervisor that started the daemon is told of its state, by the protocol of `sd_notify(3)`: datagrams to the
//! socket that `NOTIFY_SOCKET` names. It must never make the daemon wait or fail: who is not listened to says nothing.

use std::{
    ffi::OsString,
    os::{
        linux::net::SocketAddrExt,
        unix::{ffi::OsStrExt, net::SocketAddr, net::UnixDatagram},
    },
};

/// The variable of the environment that names the socket.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Whom to tell.
#[derive(Debug)]
pub struct Supervisor(Option<(UnixDatagram, SocketAddr)>);

impl Supervisor {
    /// That of this process, if it has one.
    pub fn of_this_process() -> Self {
        Self::named(std::env::var_os(SOCKET))
    }

    /// That which listens on this socket: a path, or after an `@` a name that is none.
    fn named(socket: Option<OsString>) -> Self {
        let address = socket.filter(|name| !name.is_empty()).and_then(|name| {
            match name.as_bytes().strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name).ok(),
                None => SocketAddr::from_pathname(&name).ok(),
            }
        });
        let socket = address.and_then(|address| {
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some((socket, address))
        });
        Self(socket)
    }

    /// The daemon serves; `status` says in a line where.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}\n", status.replace('\n', "; ")));
    }

    /// The daemon reads its configuration again. [`Supervisor::ready`] follows.
    pub fn reloading(&self) {
        self.tell("RELOADING=1\n");
    }

    /// The daemon ends.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=draining\n");
    }

    fn tell(&self, state: &str) {
        if let Some((socket, address)) = &self.0
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            log::warn!("the supervisor hears nothing: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    };

    use super::Supervisor;

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).expect("a datagram");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[test]
    fn a_supervisor_is_told_each_state() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let supervisor = Supervisor::named(Some(path.into()));
        supervisor.ready("listening on here\nstoring there");
        assert_eq!(
            heard(&socket),
            "READY=1\nSTATUS=listening on here; storing there\n"
        );
        supervisor.reloading();
        assert_eq!(heard(&socket), "RELOADING=1\n");
        supervisor.stopping();
        assert_eq!(heard(&socket), "STOPPING=1\nSTATUS=draining\n");
    }

    #[test]
    fn a_name_that_is_no_path_will_do() {
        let name = format!("imserver-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let socket = UnixDatagram::bind_addr(&address).expect("a socket");
        Supervisor::named(Some(format!("@{name}").into())).stopping();
        assert!(heard(&socket).starts_with("STOPPING=1\n"));
    }

    #[test]
    fn without_a_supervisor_nothing_happens() {
        for socket in [None, Some(""), Some("/nowhere/at/all")] {
            Supervisor::named(socket.map(Into::into)).stopping();
        }
    }
}
