//! What is asked of a survey.

use std::fmt;
use std::str::FromStr;

use wayside_protocols::modbus::segment::Segment;
use wayside_protocols::modbus::translate::Quality;
use wayside_protocols::time::Duration;

use crate::io::inquire;

/// By which protocol devices are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// Modbus TCP, RTU over TCP and RTU.
    Modbus,
    /// By datagram.
    Datagram(inquire::Protocol),
}

impl Protocol {
    /// Every one there is.
    pub const ALL: [Self; 3] =
        [Self::Modbus, Self::Datagram(inquire::Protocol::Enip), Self::Datagram(inquire::Protocol::Bacnet)];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Modbus => "modbus",
            Self::Datagram(datagram) => datagram.as_str(),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == text).ok_or(UnknownProtocol)
    }
}

/// A word that names no protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("modbus, enip or bacnet")]
pub struct UnknownProtocol;

/// How good a device must be to be listed. What nobody has measured does not suffice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Requirements {
    /// Half of its replies come within this.
    pub max_latency: Option<Duration>,
    /// All its points can be had as often as this.
    pub refresh: Option<Duration>,
    /// At most this part of its replies is missing, 0 to 1.
    pub loss: Option<f64>,
}

impl Requirements {
    /// What a device with this round trip and quality lacks; `None` if it suffices.
    pub fn lacks(&self, rtt: Duration, quality: Option<&Quality>) -> Option<String> {
        let rtt = quality.map_or(rtt, |quality| quality.rtt_p50);
        let millis = |time: Duration| time.as_micros() as f64 / 1e3;
        if let Some(most) = self.max_latency.filter(|most| rtt > *most) {
            return Some(format!("latency {} ms > {} ms", millis(rtt), millis(most)));
        }
        if let Some(most) = self.refresh {
            match quality.map(|quality| quality.refresh) {
                None => return Some("refresh is not measured".to_owned()),
                Some(refresh) if refresh > most => {
                    return Some(format!("refresh {} ms > {} ms", millis(refresh), millis(most)));
                }
                Some(_) => {}
            }
        }
        let most = self.loss?;
        match quality.map(|quality| f64::from(quality.loss)) {
            None => Some("loss is not measured".to_owned()),
            Some(loss) => (loss > most).then(|| format!("loss {loss:.4} > {most}")),
        }
    }
}

/// A survey that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// By which protocol.
    pub protocol: Protocol,
    /// Whom to ask; none beyond what [`Surveys::allowed`](super::Surveys::allowed) allows for that protocol.
    pub segment: Segment,
    /// How that was written.
    pub named: Box<str>,
    /// What its devices must be good for.
    pub requirements: Requirements,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_measured_does_not_suffice() {
        let millis = Duration::from_millis;
        let quality = Quality { rtt_p50: millis(20), rtt_p95: millis(60), loss: 0.02, refresh: millis(500) };
        let wants = |max_latency, refresh, loss| Requirements { max_latency, refresh, loss };
        for (requirements, quality, lacks) in [
            (wants(None, None, None), None, None),
            (wants(Some(millis(30)), None, None), None, Some("latency 40 ms > 30 ms")),
            (wants(Some(millis(30)), Some(millis(500)), Some(0.02)), Some(&quality), None),
            (wants(None, Some(millis(499)), None), Some(&quality), Some("refresh 500 ms > 499 ms")),
            (wants(None, None, Some(0.01)), Some(&quality), Some("loss 0.0200 > 0.01")),
            (wants(None, Some(millis(500)), None), None, Some("refresh is not measured")),
            (wants(None, None, Some(1.0)), None, Some("loss is not measured")),
        ] {
            assert_eq!(requirements.lacks(millis(40), quality).as_deref(), lacks);
        }
    }

    #[test]
    fn protocols_are_read_as_they_are_written() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.as_str().parse(), Ok(protocol));
        }
        assert_eq!("opcua".parse::<Protocol>(), Err(UnknownProtocol));
    }
}
