//! A serial line: the plant at one end of a pseudo-terminal, the client at the other.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tokio::net::unix::pipe::{Receiver, Sender};

use super::host::Working;

/// The plant's end. It holds the other end open as well: otherwise the line would hang up whenever a client leaves.
pub(crate) struct Wire {
    hearing: Receiver,
    saying: Sender,
    _theirs: OwnedFd,
}

/// Opens a line without echo or translation, and tells the path of the client's end.
pub(crate) fn open() -> io::Result<(Wire, PathBuf)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let path = PathBuf::from(ptsname(&ours, Vec::new())?.to_string_lossy().into_owned());
    let theirs = rustix::fs::open(&path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    let mut settings = tcgetattr(&theirs)?;
    settings.make_raw();
    tcsetattr(&theirs, OptionalActions::Now, &settings)?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    let ours = File::from(ours);
    // A terminal is no pipe, but is read and written as one.
    let saying = Sender::from_file_unchecked(ours.try_clone()?)?;
    Ok((Wire { hearing: Receiver::from_file_unchecked(ours)?, saying, _theirs: theirs }, path))
}

/// Serves the line for as long as the plant stands.
pub(crate) async fn serve(host: &Rc<Working>, wire: Wire) {
    let Wire { hearing, saying, _theirs } = wire;
    host.serve(1, hearing, saying).await;
}
