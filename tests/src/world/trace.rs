//! What happened, as one number and a few counts: two runs that agree in all of it were the same run.

use std::fmt;

use wayside_protocols::time::Timestamp;

/// A running hash over everything that was sent, delivered and wanted (FNV-1a, 64 bits), in the order it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace(u64);

impl Default for Trace {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Trace {
    /// Takes in that `what` happened to `whom` at `at`, with these bytes.
    pub fn note(&mut self, at: Timestamp, whom: usize, what: &str, bytes: &[u8]) {
        let (at, whom) = (at.as_micros().to_be_bytes(), (whom as u64).to_be_bytes());
        for byte in at.iter().chain(&whom).chain(what.as_bytes()).chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// How much was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// mDNS packets that ask.
    pub queries: u64,
    /// mDNS packets that answer or announce.
    pub responses: u64,
    /// Datagrams that arrived, one for each host that heard one.
    pub heard: u64,
    /// Publications by agents, wills among them.
    pub published: u64,
    /// Publications that arrived, one for each agent that got one.
    pub delivered: u64,
    /// Times an agent was handed something, or the time.
    pub steps: u64,
}

impl Tally {
    /// What was said since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            queries: self.queries - earlier.queries,
            responses: self.responses - earlier.responses,
            heard: self.heard - earlier.heard,
            published: self.published - earlier.published,
            delivered: self.delivered - earlier.delivered,
            steps: self.steps - earlier.steps,
        }
    }

    /// Packets on the links.
    pub fn packets(&self) -> u64 {
        self.queries + self.responses
    }
}
