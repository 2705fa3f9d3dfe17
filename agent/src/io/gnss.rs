//! The agent's own receiver, through gpsd: JSON over TCP.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};
use wayside_protocols::gpsd::{self, GpsdError, Report};
use wayside_protocols::time::Duration;

use super::backoff::Backoff;
use crate::count::AtomicU64;
use crate::driver::{Inbox, Message, Tally};

/// Keeps a connection to the gpsd at `address` (`HOST:PORT`) and tells the agent what it says, until the agent stops.
///
/// Of what arrives in one piece only the last word about the fix is told, and a full inbox makes gpsd wait. A line that
/// is no use is counted by name and passed over; a thousand of them without a good one, and it is not gpsd: the
/// connection is dropped and tried again later.
pub async fn run(address: Box<str>, seed: u64, inbox: Inbox) {
    let mut backoff = Backoff::new(seed);
    let mut complained = false;
    loop {
        let broken = tokio::select! {
            () = inbox.closed() => return,
            broken = live(&address, &inbox, &mut backoff, &mut complained) => broken,
        };
        Tally::add(&inbox.tally().gnss_failures);
        let wait = backoff.next();
        if complained {
            debug!(gpsd = %address, error = %broken, ?wait, "gpsd still unreachable");
        } else {
            warn!(gpsd = %address, error = %broken, ?wait, "gpsd unreachable");
            complained = true;
        }
        if !inbox.tell(Message::Receiver(Report::NoFix)).await {
            return;
        }
        tokio::select! {
            () = inbox.closed() => return,
            () = sleep(wait) => {}
        }
    }
}

/// One connection, from the attempt to its end.
async fn live(address: &str, inbox: &Inbox, backoff: &mut Backoff, complained: &mut bool) -> io::Error {
    let mut stream = match timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return error,
        Err(_) => return io::ErrorKind::TimedOut.into(),
    };
    Tally::add(&inbox.tally().gnss_connections);
    let mut lines = Lines::default();
    let mut piece = [0; PIECE];
    let (mut useless, mut asked) = (0_u32, false);
    if let Err(error) = stream.write_all(gpsd::WATCH).await {
        return error;
    }
    loop {
        let length = match timeout(PATIENCE, stream.read(&mut piece)).await {
            Ok(Ok(0)) => return io::ErrorKind::UnexpectedEof.into(),
            Ok(Ok(length)) => length,
            Ok(Err(error)) => return error,
            // Without a receiver gpsd has nothing to say; whether it lives it tells when asked.
            Err(_) if asked => return io::ErrorKind::TimedOut.into(),
            Err(_) => {
                asked = true;
                match stream.write_all(b"?VERSION;\n").await {
                    Ok(()) => continue,
                    Err(error) => return error,
                }
            }
        };
        asked = false;
        let mut word = None;
        for line in lines.cut(&piece[..length]) {
            match line.ok_or(()).map(|line| gpsd::read(&line)) {
                Ok(Ok(report)) => {
                    useless = 0;
                    word = Some(report).filter(|report| *report != Report::Other).or(word);
                }
                Ok(Err(error)) => {
                    useless += 1;
                    debug!(%error, "passed over");
                    Tally::add(counter(inbox.tally(), &error));
                }
                Err(()) => {
                    useless += 1;
                    Tally::add(&inbox.tally().gnss_refused_too_long);
                }
            }
        }
        if useless >= USELESS {
            return io::Error::new(io::ErrorKind::InvalidData, "it does not speak like gpsd");
        }
        if let Some(report) = word {
            if matches!(report, Report::Fix(_)) {
                backoff.reset();
                if std::mem::take(complained) {
                    info!(gpsd = %address, "gpsd has a fix");
                }
            }
            if !inbox.tell(Message::Receiver(report)).await {
                return io::ErrorKind::BrokenPipe.into();
            }
        }
    }
}

fn counter<'a>(tally: &'a Tally, error: &GpsdError) -> &'a AtomicU64 {
    match error {
        GpsdError::NotJson { .. } => &tally.gnss_refused_not_json,
        GpsdError::NoClass => &tally.gnss_refused_no_class,
        GpsdError::Refused(_) => &tally.gnss_refused_by_gpsd,
        GpsdError::Null => &tally.gnss_refused_null_island,
        GpsdError::Range(_) => &tally.gnss_refused_out_of_range,
    }
}

/// Cuts a stream into lines of at most [`LINE`] bytes.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
    /// The line is too long already: what is left of it is skipped.
    skipping: bool,
}

impl Lines {
    /// The lines that end in `piece`; `None` stands for one that was too long.
    fn cut(&mut self, piece: &[u8]) -> Vec<Option<Vec<u8>>> {
        let mut whole = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            if self.begun.len() + text.len() > LINE {
                self.skipping = true;
                self.begun.clear();
            } else if !self.skipping {
                self.begun.extend_from_slice(text);
            }
            if ended {
                let line = std::mem::take(&mut self.begun);
                whole.push((!std::mem::take(&mut self.skipping)).then_some(line));
            }
        }
        whole
    }
}

/// How long a connection may take, and how long gpsd may be silent before it is asked, and after.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes read at once.
const PIECE: usize = 4_096;
/// Bytes of a line at the most; gpsd writes up to 10,240.
const LINE: usize = 16_384;
/// Lines of no use, one after the other, before it is somebody else.
const USELESS: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_are_cut() {
        let text = b"{\"class\":\"VERSION\"}\r\nx\n\n{begun";
        let whole = Lines::default().cut(text);
        assert_eq!(whole.len(), 3);
        assert_eq!(whole[1].as_deref(), Some(&b"x"[..]));
        let mut lines = Lines::default();
        let cut: Vec<_> = text.iter().flat_map(|byte| lines.cut(&[*byte])).collect();
        assert_eq!(cut, whole);
    }

    #[test]
    fn a_line_without_end_costs_no_more_than_the_cap() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            assert!(lines.cut(&[b'a'; PIECE]).is_empty());
            assert!(lines.begun.len() <= LINE);
        }
        assert_eq!(lines.cut(b"tail\ngood\n"), [None, Some(b"good".to_vec())]);
    }
}
