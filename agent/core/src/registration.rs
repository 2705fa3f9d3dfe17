//! Services this agent vouches for itself.

use std::net::SocketAddr;

use wayside_protocols::service::Service;
use wayside_protocols::time::Duration;

/// A service somebody registered with this agent, or wrote in its configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// What is announced while it is healthy.
    pub service: Service,
    /// The lease: it is withdrawn unless renewed within this time. 1 s to 86,400 s. Ignored for services from the
    /// configuration, which hold as long as the agent runs.
    pub ttl: Duration,
    /// How its health is found out; `None` takes it as healthy.
    pub check: Option<HealthCheck>,
}

/// The lease a registration gets if it does not say.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(120);
/// The shortest lease.
pub const MIN_LEASE: Duration = Duration::from_secs(1);
/// The longest lease.
pub const MAX_LEASE: Duration = Duration::from_secs(86_400);

/// How and how often a service is asked whether it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What counts as an answer.
    pub probe: Probe,
    /// From one check to the next, 1 s to 3,600 s.
    pub interval: Duration,
    /// How long an answer may take, 10 ms to 60 s, at most the interval.
    pub timeout: Duration,
}

/// What counts as an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A TCP connection is accepted.
    Tcp,
    /// `GET path` answers with a status from 200 to 299. Redirects are not followed.
    Http {
        /// Absolute path, at most 1,024 bytes.
        path: Box<str>,
    },
    /// The registration is renewed within each interval.
    Ttl,
}

/// One check that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueProbe {
    /// Where.
    pub target: SocketAddr,
    /// What counts as an answer; never [`Probe::Ttl`].
    pub probe: Probe,
    /// How long it may take.
    pub timeout: Duration,
}
