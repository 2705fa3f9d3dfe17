//! How the broker is reached.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use rumqttc::{LastWill, LastWillProperties, MqttOptions, QoS};
use wayside_protocols::mqtt::presence::Presence;
use wayside_protocols::mqtt::topic::Topic;
use wayside_protocols::service::AgentId;
use wayside_protocols::time::Duration;

/// Everything about one broker.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This agent; the client id is `wayside-{agent}`.
    pub agent: AgentId,
    /// Where the broker is.
    pub address: Address,
    /// The user, if the broker wants one.
    pub username: Option<String>,
    /// A file with the user's password; a line end at its end does not belong to it. Read at each connection.
    pub password_file: Option<PathBuf>,
    /// Whom to believe and who we are, for `mqtts`. Read at each connection.
    #[cfg(feature = "tls")]
    pub tls: crate::io::tls::Files,
    /// How long a silent connection is believed in, 5 s to 18 h: a broker that is gone is noticed within twice this.
    pub keep_alive: Duration,
    /// How often this agent has started; the will says so.
    pub epoch: u32,
    /// For the jitter between attempts.
    pub seed: u64,
}

impl Settings {
    /// The options for one connection.
    ///
    /// # Errors
    /// [`SetupError`] if a file is not what it should be.
    pub(super) fn options(&self) -> Result<MqttOptions, SetupError> {
        let Address { host, port, tls } = &self.address;
        let mut options = MqttOptions::new(format!("wayside-{}", self.agent), (host.as_str(), *port));
        // Each connection begins anew: a client that does not know the session the broker kept may only listen in it,
        // and the library then drops, without a word, all that it is given to say. The session lasts as long as the
        // will's delay needs it; what it holds besides is of no use, since the agent says everything again.
        options.set_clean_start(true);
        options.set_session_expiry_interval(Some(SESSION));
        options.set_keep_alive(u16::try_from(self.keep_alive.as_secs()).unwrap_or(u16::MAX));
        options.set_connect_timeout(CONNECT);
        // The library keeps a table of this size, and some brokers break the connection beyond 20.
        options.set_outgoing_inflight_upper_limit(IN_FLIGHT);
        options.set_receive_maximum(Some(IN_FLIGHT * 4));
        // The broker then keeps larger messages to itself. Without it, one such message that is retained would break
        // every connection there is.
        options.set_max_packet_size(Some(LARGEST));
        if let Some(username) = &self.username {
            options.set_credentials(username.clone(), self.password()?);
        }
        options.set_last_will(self.will());
        if *tls {
            self.secure(&mut options)?;
        }
        Ok(options)
    }

    fn will(&self) -> LastWill {
        let properties = LastWillProperties {
            delay_interval: Some(WILL_DELAY),
            payload_format_indicator: None,
            message_expiry_interval: None,
            content_type: None,
            response_topic: None,
            correlation_data: None,
            user_properties: Vec::new(),
        };
        let topic = Topic::Presence(self.agent.clone()).to_string();
        let lost = Presence::will(self.epoch).encode();
        LastWill::new(topic, lost, QoS::AtLeastOnce, true, Some(properties))
    }

    fn password(&self) -> Result<Vec<u8>, SetupError> {
        let Some(path) = &self.password_file else { return Ok(Vec::new()) };
        crate::io::secret::read(path).map_err(|source| SetupError::Password { path: path.clone(), source })
    }

    #[cfg(feature = "tls")]
    fn secure(&self, options: &mut MqttOptions) -> Result<(), SetupError> {
        let config = rumqttc::TlsConfiguration::Rustls(self.tls.load()?);
        options.set_transport(rumqttc::Transport::tls_with_config(config));
        Ok(())
    }

    #[cfg(not(feature = "tls"))]
    fn secure(&self, _options: &mut MqttOptions) -> Result<(), SetupError> {
        Err(SetupError::NoTls)
    }
}

/// Where a broker is: `mqtt://host:1883` or `mqtts://host:8883`; the port may be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub tls: bool,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "{scheme}://[{host}]:{port}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let refused = || AddressError(text.chars().take(200).collect());
        let (tls, rest) = match text.split_once("://") {
            Some(("mqtt", rest)) => (false, rest),
            Some(("mqtts", rest)) => (true, rest),
            _ => return Err(refused()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(v6) => v6.split_once(']').ok_or_else(refused)?,
            None => rest.find(':').map_or((rest, ""), |colon| rest.split_at(colon)),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(refused)?,
            None if port.is_empty() => {
                if tls {
                    8883
                } else {
                    1883
                }
            }
            None => return Err(refused()),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if host.is_empty() || !host.chars().all(plain) {
            return Err(refused());
        }
        Ok(Self { host: host.to_owned(), port, tls })
    }
}

/// An address that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("broker {0:?} is not of the form mqtt://host:1883 or mqtts://host:8883")]
pub struct AddressError(String);

/// Why no connection can be tried.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The password cannot be read.
    #[error("cannot read {path}")]
    Password {
        /// Where it should be.
        path: PathBuf,
        /// Why it cannot.
        source: std::io::Error,
    },
    /// TLS cannot be spoken.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] crate::io::tls::TlsError),
    /// This program was built without TLS.
    #[cfg(not(feature = "tls"))]
    #[error("mqtts is set, but this program was built without TLS")]
    NoTls,
}

/// Seconds the broker keeps the session after a connection broke.
const SESSION: u32 = 10;
/// Seconds the broker waits before it tells the will.
const WILL_DELAY: u32 = 2;
/// How long a connection may take to be established.
const CONNECT: Duration = Duration::from_secs(5);
/// Publications that wait for their acknowledgement.
const IN_FLIGHT: u16 = 16;
/// Bytes of an MQTT packet, larger ones are left to the broker.
const LARGEST: u32 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_shown() {
        for (given, shown) in [
            ("mqtt://broker", "mqtt://broker:1883"),
            ("mqtts://broker/", "mqtts://broker:8883"),
            ("mqtt://10.0.0.1:2883", "mqtt://10.0.0.1:2883"),
            ("mqtts://[fe80::1%eth0]:8884", "mqtts://[fe80::1%eth0]:8884"),
        ] {
            assert_eq!(given.parse::<Address>().map(|address| address.to_string()).as_deref(), Ok(shown));
        }
    }

    #[test]
    fn what_is_no_address_is_shown_in_the_error() {
        for bad in ["broker", "http://broker", "mqtt://", "mqtt://b:0", "mqtt://b:x", "mqtt://user@b", "mqtt://[::1"] {
            assert!(bad.parse::<Address>().is_err_and(|error| error.to_string().contains(bad)), "{bad}");
        }
    }
}
