//! Whether an agent is there.
//!
//! An agent says `online` when it comes and `offline` when it goes, retained; its will says `lost` with the same
//! epoch. A will is published late, perhaps after the next birth, so whoever reads it compares epochs.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::json::{self, FieldError, Json, Object};
use crate::place::{Fix, Position};
use crate::service::{AgentId, Kind, Service, ServiceId, ServiceName};
use crate::time::Timestamp;

/// What `wayside/1/p/{agent}` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Presence {
    /// How it is.
    pub state: State,
    /// How often the agent has started; rises with every start.
    pub epoch: u32,
    /// Its program version, at most 64 bytes.
    pub version: Option<String>,
    /// Where it stands and how sure that is (one sigma, metres), if it says.
    pub position: Option<(Position, Option<f32>)>,
    /// What it is, if it says.
    pub kind: Option<Kind>,
}

/// How an agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is there.
    Online,
    /// The broker lost it: its will speaks.
    Lost,
    /// It said goodbye.
    Offline,
}

impl State {
    const ALL: [Self; 3] = [Self::Online, Self::Lost, Self::Offline];

    /// The word for it in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Lost => "lost",
            Self::Offline => "offline",
        }
    }
}

impl Presence {
    /// What the broker is to say should the agent be lost in the life `epoch`.
    pub fn will(epoch: u32) -> Self {
        Self { state: State::Lost, epoch, version: None, position: None, kind: None }
    }

    /// Reads a payload. Members that are not known are ignored.
    ///
    /// # Errors
    /// [`PresenceError`] if it is not a JSON object, too long, or a member is not what it may be.
    pub fn decode(payload: &[u8]) -> Result<Self, PresenceError> {
        if payload.len() > MAX_BYTES {
            return Err(PresenceError::TooLong { given: payload.len() });
        }
        let mut object = json::object(payload)?;
        let state = object.required("state", "online, lost or offline", Json::text)?;
        let state = State::ALL
            .into_iter()
            .find(|known| known.as_str() == state)
            .ok_or_else(|| FieldError::new("state", &Json::Text(state), "online, lost or offline"))?;
        let epoch = object.required("epoch", "a whole number from 0 to 4294967295", |value| {
            value.whole(0, u64::from(u32::MAX)).and_then(|epoch| u32::try_from(epoch).ok())
        })?;
        let version = object
            .optional("version", "at most 64 bytes of text", |value| value.text().filter(|text| text.len() <= 64))?;
        let kind = object.kind()?;
        let position = match object.nested("position")? {
            Some(mut place) => place.place()?,
            None => None,
        };
        Ok(Self { state, epoch, version, position, kind })
    }

    /// Writes a payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut members = Object::default();
        members.put("state", Json::Text(self.state.as_str().to_string()));
        members.put("epoch", Json::Number(f64::from(self.epoch)));
        if let Some(version) = &self.version {
            members.put("version", Json::Text(version.clone()));
        }
        if let Some(kind) = self.kind {
            members.put("kind", Json::Text(kind.as_str().to_string()));
        }
        if let Some((position, accuracy)) = self.position {
            let mut place = Object::default();
            place.put_place(&position, accuracy);
            members.put("position", Json::Object(place));
        }
        members.to_bytes()
    }

    /// Whether this is to be believed after the last birth (`online`) had the epoch `born`; `None` if there was none.
    ///
    /// A birth always is, even with a smaller epoch: an agent that lost its state begins again. A `lost` or `offline`
    /// of an earlier life is not.
    pub fn supersedes(&self, born: Option<u32>) -> bool {
        self.state == State::Online || born.is_none_or(|born| self.epoch >= born)
    }

    /// The agent as the service `wayside` that it is, seen at `now`.
    pub fn service(&self, agent: &AgentId, now: Timestamp) -> Service {
        let kind = self.kind.unwrap_or(Kind::Gateway);
        let mut service = Service::new(ServiceId::agent(agent), ServiceName::wayside(), kind);
        service.agent = Some(agent.clone());
        service.fix = self
            .position
            .map(|(position, accuracy)| Fix::fixed(position, accuracy.unwrap_or_else(|| kind.usual_accuracy()), now));
        if let Some(version) = &self.version {
            service.metadata.insert("version".into(), version.as_str().into());
        }
        service
    }
}

/// Why a payload is no presence.
#[derive(Debug, thiserror::Error)]
pub enum PresenceError {
    /// It is too long.
    #[error("presence of {given} bytes is longer than {MAX_BYTES}")]
    TooLong {
        /// How long.
        given: usize,
    },
    /// It is not what JSON, or a member, may be.
    #[error(transparent)]
    Json(#[from] FieldError),
}

/// The longest presence, bytes.
const MAX_BYTES: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_presence_reads_as_it_is_written() {
        let presence = Presence {
            state: State::Online,
            epoch: u32::MAX,
            version: Some("0.1.0".to_string()),
            position: Some((Position::new(48.8566, 2.3522).unwrap(), Some(3.0))),
            kind: Some(Kind::Gateway),
        };
        assert_eq!(Presence::decode(&presence.encode()).unwrap(), presence);
        assert_eq!(Presence::will(7).encode(), br#"{"epoch":7,"state":"lost"}"#);
    }

    #[test]
    fn a_will_of_an_earlier_life_is_not_believed() {
        assert!(!Presence::will(6).supersedes(Some(7)));
        assert!(Presence::will(7).supersedes(Some(7)));
        assert!(Presence::will(1).supersedes(None));
    }

    #[test]
    fn an_agent_that_lost_its_epoch_is_born_all_the_same() {
        let birth = Presence { state: State::Online, ..Presence::will(1) };
        assert!(birth.supersedes(Some(7)));
    }

    #[test]
    fn a_bad_presence_says_what_is_bad() {
        let said = |text: &str| Presence::decode(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(said("[]"), "not a JSON object");
        assert_eq!(said(r#"{"epoch":1}"#), "state is missing: online, lost or offline");
        assert_eq!(said(r#"{"state":"gone","epoch":1}"#), "state \"gone\" is not allowed: online, lost or offline");
        assert_eq!(
            said(r#"{"state":"lost","epoch":-1}"#),
            "epoch -1 is not allowed: a whole number from 0 to 4294967295"
        );
        assert_eq!(said(r#"{"state":"online","epoch":1,"position":{"lat":1}}"#), "lat is set without lon");
        assert_eq!(
            said(r#"{"state":"online","epoch":1,"position":{"lat":91,"lon":0}}"#),
            "lat 91 is outside -90 to 90"
        );
    }

    #[test]
    fn a_member_twice_is_refused() {
        assert!(Presence::decode(br#"{"state":"lost","epoch":1,"epoch":2}"#).is_err());
    }

    #[test]
    fn depth_without_end_is_refused() {
        let deep = [br#"{"x":"#.as_slice(), "[".repeat(900).as_bytes()].concat();
        assert!(Presence::decode(&deep).is_err());
    }
}
