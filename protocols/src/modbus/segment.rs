//! What may be asked: targets, less what is denied.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::frame::Framing;
use super::target::{Net, Target, TargetError, Written};
use super::unit::{Unit, Units};

/// Whom a survey may ask: an explicit list, at most [`MOST_TARGETS`] connections. What is denied is not on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    targets: Vec<Target>,
    denied: Vec<Target>,
    written: Vec<(Box<str>, Vec<Target>)>,
    units: Option<Units>,
}

/// Connections of one segment at the most.
pub const MOST_TARGETS: usize = 4_096;

impl Segment {
    /// The targets as written, without those that `deny` names; `units` unless the usual ones are meant. `port` is
    /// meant where a target names none.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn new(
        targets: &[impl AsRef<str>],
        deny: &[impl AsRef<str>],
        units: Option<Units>,
        port: u16,
    ) -> Result<Self, Vec<SegmentError>> {
        let mut wrong = Vec::new();
        let mut denied = Vec::new();
        for (at, text) in deny.iter().enumerate() {
            match Denied::read(text.as_ref()) {
                Ok(deny) => denied.push(deny),
                Err(error) => wrong.push(SegmentError::Deny(at, error)),
            }
        }
        let (mut kept, mut left) = (BTreeSet::new(), BTreeSet::new());
        let mut lines = Vec::new();
        for (at, text) in targets.iter().enumerate() {
            match Written::read(text.as_ref(), port) {
                Err(error) => wrong.push(SegmentError::Target(at, error)),
                Ok(written) => {
                    let (out, new): (Vec<_>, Vec<_>) =
                        spread(written).partition(|target| denied.iter().any(|denied| denied.covers(target)));
                    if new.is_empty() {
                        wrong.push(SegmentError::Denied(at, text.as_ref().into()));
                    }
                    left.extend(out);
                    // What is written twice is asked once, for the first.
                    let new: Vec<Target> = new.into_iter().filter(|target| kept.insert(target.clone())).collect();
                    lines.push((Box::from(text.as_ref()), new));
                    if kept.len() > MOST_TARGETS {
                        wrong.push(SegmentError::Many(kept.len()));
                        break;
                    }
                }
            }
        }
        if targets.is_empty() {
            wrong.push(SegmentError::Nothing);
        }
        if units.is_some_and(|units| units.is_empty()) {
            wrong.push(SegmentError::NoUnit);
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(Self { targets: kept.into_iter().collect(), denied: left.into_iter().collect(), written: lines, units })
    }

    /// Just these connections.
    pub fn of(targets: Vec<Target>, units: Option<Units>) -> Self {
        Self { targets, denied: Vec::new(), written: Vec::new(), units }
    }

    /// Whom to ask, in rising order.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Who would have been asked, but is denied.
    pub fn denied(&self) -> &[Target] {
        &self.denied
    }

    /// Each target as it was written, with the connections it means that no earlier one does.
    pub fn written(&self) -> impl Iterator<Item = (&str, &[Target])> {
        self.written.iter().map(|(text, targets)| (&**text, &targets[..]))
    }

    /// Which units may be asked behind `target`: 1 to 247, and on TCP 255, where devices often answer for themselves.
    pub fn units(&self, target: &Target) -> Units {
        self.units.unwrap_or_else(|| {
            let mut units = Units::devices();
            if target.framing() == Framing::Tcp {
                units.insert(Unit(255));
            }
            units
        })
    }

    /// What of this one is not in any of `allowed`: nothing may be asked that nobody allowed.
    pub fn beyond<'a>(&'a self, allowed: &[Self]) -> Option<&'a Target> {
        self.targets.iter().find(|target| !allowed.iter().any(|segment| segment.targets.binary_search(target).is_ok()))
    }

    /// The same without the targets that are not in any of `allowed`, and without units that are not allowed there.
    pub fn within(mut self, allowed: &[Self]) -> Self {
        self.targets.retain(|target| allowed.iter().any(|segment| segment.targets.binary_search(target).is_ok()));
        self
    }
}

fn spread(written: Written) -> impl Iterator<Item = Target> {
    let (net, serial) = match written {
        Written::Net(net, port, framing) => (Some((net, port, framing)), None),
        Written::Serial(serial) => (None, Some(Target::Serial(serial))),
    };
    let sockets = net.into_iter().flat_map(|(net, port, framing)| {
        net.hosts().map(move |host| match framing {
            Framing::Tcp => Target::Tcp(SocketAddr::new(host, port)),
            Framing::Rtu => Target::RtuOverTcp(SocketAddr::new(host, port)),
        })
    });
    sockets.chain(serial)
}

/// What is never asked: an address or a network, at one port or at all, or a serial line.
#[derive(Clone, Debug)]
enum Denied {
    Net(Net, Option<u16>),
    Path(Box<str>),
}

impl Denied {
    fn read(text: &str) -> Result<Self, TargetError> {
        let text = text.trim();
        if text.starts_with('/') {
            let path = text.split_once('?').map_or(text, |(path, _)| path);
            return Ok(Self::Path(path.into()));
        }
        if let Ok(net) = text.parse() {
            return Ok(Self::Net(net, None));
        }
        let (net, port) = text.rsplit_once(':').ok_or_else(|| TargetError::Form(text.into()))?;
        let port = port.parse().map_err(|_| TargetError::Port(port.into()))?;
        let net = net.parse().map_err(|()| TargetError::Form(text.into()))?;
        Ok(Self::Net(net, Some(port)))
    }

    fn covers(&self, target: &Target) -> bool {
        match (self, target) {
            (Self::Net(net, port), Target::Tcp(address) | Target::RtuOverTcp(address)) => {
                net.contains(address.ip()) && port.is_none_or(|port| port == address.port())
            }
            (Self::Path(path), Target::Serial(serial)) => *path == serial.path,
            (Self::Net(..), Target::Serial(_)) | (Self::Path(_), Target::Tcp(_) | Target::RtuOverTcp(_)) => false,
        }
    }
}

/// One thing wrong with a segment; the number says which of the targets or denied ones it is, from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// A target that cannot be one.
    #[error("{1}")]
    Target(usize, #[source] TargetError),
    /// Something denied that is no address, network or line.
    #[error("{1}")]
    Deny(usize, #[source] TargetError),
    /// A target of which the denied ones leave nothing.
    #[error("{1} is denied wholly; nothing of it is left to ask")]
    Denied(usize, String),
    /// Too many targets.
    #[error("{0} connections or more are too many; {MOST_TARGETS} are allowed")]
    Many(usize),
    /// No target.
    #[error("names nothing to ask")]
    Nothing,
    /// No unit.
    #[error("names no unit to ask")]
    NoUnit,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use std::format;

    const NONE: [&str; 0] = [];

    fn segment(targets: &[&str], deny: &[&str]) -> Result<Segment, Vec<SegmentError>> {
        Segment::new(targets, deny, None, 502)
    }

    fn names(segment: &Segment) -> Vec<String> {
        segment.targets().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_network_is_its_hosts_without_what_is_denied() {
        let found = segment(&["10.3.0.0/29:503"], &["10.3.0.4/31", "10.3.0.1", "10.3.0.6:502"]).unwrap();
        assert_eq!(names(&found), ["10.3.0.2:503", "10.3.0.3:503", "10.3.0.6:503"]);
        assert_eq!(found.denied().len(), 3);
        assert_eq!(segment(&["127.7.0.0/24"], &[]).unwrap().targets().len(), 254);
        assert_eq!(segment(&["10.0.0.0/22"], &[]).unwrap().targets().len(), 1_022);
        assert_eq!(segment(&["fd00::/118"], &[]).unwrap().targets().len(), 1_024);
        assert_eq!(names(&segment(&["[fd00::9]:5020", "fd00::8"], &[]).unwrap()), ["[fd00::8]:502", "[fd00::9]:5020"]);
    }

    #[test]
    fn a_line_is_written_with_how_it_is_set() {
        let found = segment(&["/dev/ttyUSB0?baud=9600&parity=none&stop=2", "10.0.0.1:4001?framing=rtu"], &[]).unwrap();
        assert_eq!(names(&found), ["10.0.0.1:4001?framing=rtu", "/dev/ttyUSB0"]);
        let serial = found.targets()[1].serial().unwrap();
        assert_eq!((serial.baud, serial.stop), (9_600, 2));
        assert_eq!(serial.silence(), serial.byte() * 7 / 2);
        assert!(!found.units(&found.targets()[1]).contains(Unit(255)));
    }

    #[test]
    fn what_may_not_be_asked_is_refused_with_its_reason() {
        for (text, reason) in [
            ("10.0.0.0/21", "10.0.0.0/21 has more than 1024 addresses"),
            ("0.0.0.0/0", "0.0.0.0/0 has more than"),
            ("8.8.8.8", "8.8.8.8 is a public address"),
            ("[2001:db8::1]:502", "2001:db8::1 is a public address"),
            ("::ffff:8.8.8.8", "8.8.8.8 is a public address"),
            ("10.0.0.1:0", "port \"0\" is outside 1 to 65535"),
            ("10.0.0.1:99999", "port \"99999\""),
            ("plc-3", "\"plc-3\" is no target"),
            ("", "\"\" is no target"),
            ("/dev/ttyS0?baud=12", "option baud=12 is not allowed"),
            ("/dev/ttyS0?speed=9600", "option speed=9600 is not allowed"),
            ("10.0.0.1?framing=ascii", "option framing=ascii is not allowed"),
        ] {
            let wrong = segment(&[text], &[]).unwrap_err();
            assert!(wrong[0].to_string().contains(reason), "{text}: {}", wrong[0]);
        }
        let two = segment(&["8.8.8.8", "10.0.0.0/8"], &["x"]).unwrap_err();
        assert_eq!(two.len(), 3, "all at once");
    }

    #[test]
    fn what_is_denied_wholly_is_said() {
        let wrong = segment(&["10.0.0.9", "10.0.1.0/30"], &["10.0.0.0/24"]).unwrap_err();
        assert_eq!(wrong, [SegmentError::Denied(0, "10.0.0.9".into())]);
        assert_eq!(segment(&NONE, &NONE).unwrap_err(), [SegmentError::Nothing]);
        let many: Vec<String> = (0..8).map(|n| format!("10.0.{}.0/22", n * 4)).collect();
        assert!(matches!(Segment::new(&many, &NONE, None, 502).unwrap_err()[..], [SegmentError::Many(_)]));
    }

    #[test]
    fn only_what_is_allowed_may_be_asked() {
        let allowed = [segment(&["127.7.0.0/28"], &["127.7.0.3"]).unwrap()];
        assert_eq!(segment(&["127.7.0.4/30"], &[]).unwrap().beyond(&allowed), None);
        let beyond = segment(&["127.7.0.2/31"], &[]).unwrap();
        assert_eq!(beyond.beyond(&allowed).map(ToString::to_string).as_deref(), Some("127.7.0.3:502"));
        assert_eq!(beyond.within(&allowed).targets().len(), 1);
    }
}
