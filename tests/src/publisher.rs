//! As much of an MQTT 3.1.1 client as a benchmark needs to publish at a moment it knows: QoS 0 on a blocking socket.
//! A whole client would add its own queue and task to what is measured.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A connection to a broker.
pub struct Publisher {
    wire: Box<dyn Write + Send>,
}

impl Publisher {
    /// Connects to the broker at `port` of this machine.
    ///
    /// # Errors
    /// If nobody listens, or it does not want us.
    pub fn tcp(port: u16, client: &str) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        Self::greet(stream, client)
    }

    /// Connects to a broker's Unix socket, which reaches into any network namespace.
    ///
    /// # Errors
    /// As [`Publisher::tcp`].
    pub fn unix(path: &Path, client: &str) -> io::Result<Self> {
        Self::greet(UnixStream::connect(path)?, client)
    }

    fn greet<T: Read + Write + Send + 'static>(mut wire: T, client: &str) -> io::Result<Self> {
        // Protocol level 4, clean session, no keep-alive.
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0];
        text(&mut body, client);
        wire.write_all(&packet(0x10, &body))?;
        let mut answer = [0; 4];
        wire.read_exact(&mut answer)?;
        if answer != [0x20, 2, 0, 0] {
            return Err(io::Error::other(format!("the broker refuses the connection: {answer:02x?}")));
        }
        Ok(Self { wire: Box::new(wire) })
    }

    /// Hands one message to the kernel.
    ///
    /// # Errors
    /// If the broker is gone.
    pub fn publish(&mut self, topic: &str, payload: &[u8], retain: bool) -> io::Result<()> {
        let mut body = Vec::with_capacity(2 + topic.len() + payload.len());
        text(&mut body, topic);
        body.extend_from_slice(payload);
        self.wire.write_all(&packet(0x30 | u8::from(retain), &body))
    }
}

fn packet(head: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![head];
    let mut rest = body.len();
    loop {
        let seven = (rest & 0x7f) as u8;
        rest >>= 7;
        bytes.push(seven | if rest > 0 { 0x80 } else { 0 });
        if rest == 0 {
            break;
        }
    }
    bytes.extend_from_slice(body);
    bytes
}

fn text(body: &mut Vec<u8>, text: &str) {
    body.extend_from_slice(&(text.len() as u16).to_be_bytes());
    body.extend_from_slice(text.as_bytes());
}
