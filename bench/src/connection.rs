//! One connection of the load: non-blocking, with its own frames in and bytes out.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
};

use bytes::{Buf, BytesMut};
use mio::{Interest, Registry, Token, net::TcpStream};
use netcore::codec::{Codec, Decoded};
use protocol::{Encoding, Frame, FrameCodec, MAGIC, Request, VERSION, v1};

use crate::BenchError;

/// Bytes of a frame from the server, at most.
const FRAME_BYTES_MAX: u32 = 1024 * 1024;
const READ_BYTES: usize = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    codec: FrameCodec,
    incoming: BytesMut,
    outgoing: BytesMut,
}

impl Connection {
    /// Starts to connect.
    pub(crate) fn open(server: SocketAddr, registry: &Registry, token: Token) -> Result<Self, BenchError> {
        // Blocking, so that a full backlog slows the load down instead of failing it.
        let stream = std::net::TcpStream::connect(server)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            codec: FrameCodec::new(FRAME_BYTES_MAX),
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
        })
    }

    /// The hello that resumes a provisioned session.
    pub(crate) fn resume(&mut self, index: usize, token: &str) -> Result<(), BenchError> {
        self.request(
            &Request::Hello(v1::Hello {
                magic: MAGIC,
                version_min: VERSION,
                version_max: VERSION,
                capabilities: 0,
                device: Some(v1::Device {
                    device_id: format!("bench-{index}"),
                    ..v1::Device::default()
                }),
                session_token: token.to_owned(),
                client: "imbench".to_owned(),
            }),
            1,
        )
    }

    /// Queues a request and writes what the socket takes.
    pub(crate) fn request(&mut self, request: &Request, seq: u16) -> Result<(), BenchError> {
        request
            .to_frame(Encoding::Protobuf, seq)
            .encode(&mut self.outgoing)
            .map_err(|error| BenchError::Other(error.to_string()))?;
        self.flush()
    }

    /// Writes what the socket takes.
    pub(crate) fn flush(&mut self) -> Result<(), BenchError> {
        while !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing) {
                Ok(written) => self.outgoing.advance(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads until the socket is empty, handing out every whole frame.
    pub(crate) fn frames(
        &mut self,
        mut each: impl FnMut(&mut Self, Frame) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        let mut buffer = [0; READ_BYTES];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(BenchError::Other("the server closed a connection".to_owned())),
                Ok(read) => {
                    self.incoming
                        .extend_from_slice(buffer.get(..read).unwrap_or_default());
                    while let Some(frame) = self.next_frame()? {
                        each(self, frame)?;
                    }
                    if read < READ_BYTES {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, BenchError> {
        if self.incoming.is_empty() {
            return Ok(None);
        }
        match self.codec.decode(&self.incoming) {
            Ok(Decoded::Frame { frame, used }) => {
                self.incoming.advance(used.get());
                Ok(Some(frame))
            }
            Ok(Decoded::Need { .. }) => Ok(None),
            Err(error) => Err(BenchError::Other(error.to_string())),
        }
    }
}

/// A frame that refuses something, as an error.
pub(crate) fn refusal(frame: &Frame) -> BenchError {
    match Encoding::Protobuf.decode::<v1::Error>(frame.body.clone()) {
        Ok(error) => BenchError::Other(format!(
            "refused: {} {}",
            error.code().as_str_name(),
            error.message
        )),
        Err(error) => BenchError::Other(error.to_string()),
    }
}
