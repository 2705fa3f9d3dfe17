//! What an agent tells a registry of itself: one message with rows when something changed, and an empty one to say
//! that it is still there.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::json::{self, FieldError, Json, Object};
use crate::mqtt::announcement::{Announcement, AnnouncementError};
use crate::place::Position;
use crate::service::{AgentId, Kind, Label, NameError, Service, ServiceId, ServiceName};
use crate::time::{Duration, Timestamp, UnixMillis};

/// One message of an agent. A registry keeps what it said before, and forgets all of it when the lease runs out.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// Who says so.
    pub agent: AgentId,
    /// What it is.
    pub kind: Kind,
    /// How often it has started: what an earlier life says counts no longer.
    pub epoch: u32,
    /// How long all it offers is to be kept without a further message: whole seconds, 1 to 86,400.
    pub lease: Duration,
    /// Whether this is all it offers: what is not here is gone.
    pub whole: bool,
    /// Whether it is about to stop: nothing it offers is to be kept.
    pub leaving: bool,
    /// Where it stands, and how sure that is, one sigma in metres.
    pub place: Option<(Position, Option<f32>)>,
    /// What it offers that is new or has changed. Each has its id; what it says of its agent must agree.
    pub rows: Vec<Announcement>,
    /// What it no longer offers.
    pub gone: Vec<Label>,
}

impl Rows {
    /// Writes it as JSON.
    pub fn encode(&self) -> Vec<u8> {
        let mut object = Object::default();
        object.put("agent", Json::Text(self.agent.to_string()));
        object.put("kind", Json::Text(self.kind.to_string()));
        object.put("epoch", Json::Number(self.epoch.into()));
        object.put("lease_s", Json::Number(self.lease.as_secs() as f64));
        for (field, flag) in [("whole", self.whole), ("leaving", self.leaving)] {
            if flag {
                object.put(field, Json::Flag(true));
            }
        }
        if let Some((position, accuracy)) = &self.place {
            let mut place = Object::default();
            place.put_place(position, *accuracy);
            object.put("position", Json::Object(place));
        }
        if !self.rows.is_empty() {
            object.put("rows", Json::List(self.rows.iter().map(|row| Json::Object(row.to_object())).collect()));
        }
        if !self.gone.is_empty() {
            object.put("gone", Json::List(self.gone.iter().map(|id| Json::Text(id.to_string())).collect()));
        }
        object.to_bytes()
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`RowsError`] if it is too long, or anything in it is not what it may be: then none of it counts.
    pub fn decode(body: &[u8]) -> Result<Self, RowsError> {
        if body.len() > MAX_BYTES {
            return Err(RowsError::Long { given: body.len() });
        }
        let mut object = json::object(body)?;
        let agent: AgentId = object.required("agent", "the id of an agent", Json::text)?.parse()?;
        let rows = object.optional("rows", "a list of announcements", Json::list)?.unwrap_or_default();
        let gone = object.optional("gone", "a list of ids", Json::list)?.unwrap_or_default();
        if rows.len() + gone.len() > MAX_ROWS {
            return Err(RowsError::Many { given: rows.len() + gone.len() });
        }
        let rows = rows.into_iter().enumerate().map(|(index, row)| announcement(row, index, &agent));
        let gone = gone.into_iter().map(|id| {
            let shown = id.clone();
            id.text().and_then(|id| id.parse().ok()).ok_or_else(|| FieldError::new("gone", &shown, "ids"))
        });
        let seconds = |value: Json| value.whole(1, MAX_LEASE);
        Ok(Self {
            kind: object.kind()?.ok_or(FieldError::Missing { field: "kind", limit: "the word for one" })?,
            epoch: object.required("epoch", "a whole number below 2^32", |value| value.whole(0, u32::MAX.into()))?
                as u32,
            lease: Duration::from_secs(object.required("lease_s", "a whole number from 1 to 86400", seconds)?),
            whole: object.optional("whole", "true or false", Json::flag)?.unwrap_or_default(),
            leaving: object.optional("leaving", "true or false", Json::flag)?.unwrap_or_default(),
            place: object.nested("position")?.map(|mut place| place.place()).transpose()?.flatten(),
            rows: rows.collect::<Result<_, _>>()?,
            gone: gone.collect::<Result<_, _>>()?,
            agent,
        })
    }

    /// The agent itself as a service, for as long as its lease: what it offers without a place of its own stands where
    /// it stands.
    pub fn presence(&self, now: Timestamp) -> Service {
        let mut service = Service::new(ServiceId::agent(&self.agent), ServiceName::wayside(), self.kind);
        service.agent = Some(self.agent.clone());
        service.fix = self.place.map(|(position, accuracy)| {
            let accuracy = accuracy.unwrap_or_else(|| self.kind.usual_accuracy());
            crate::place::Fix::fixed(position, accuracy, now)
        });
        service
    }

    /// What a row of this message offers, when it arrives at `now` with the wall clock at `wall`.
    pub fn service(&self, row: &Announcement, wall: UnixMillis, now: Timestamp) -> Option<Service> {
        row.clone().offered_by(&self.agent, wall, now)
    }
}

/// What a registry answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// How long it keeps what it was told without a further message.
    pub lease: Duration,
    /// How many services of this agent it holds; where that is not what the agent offers, one of them is mistaken.
    pub held: usize,
    /// Whether it wants to be told everything: it knows nothing of this agent.
    pub whole: bool,
}

impl Receipt {
    /// Writes it as JSON.
    pub fn encode(&self) -> Vec<u8> {
        let mut object = Object::default();
        object.put("lease_s", Json::Number(self.lease.as_secs() as f64));
        object.put("held", Json::Number(self.held as f64));
        object.put("whole", Json::Flag(self.whole));
        object.to_bytes()
    }

    /// Reads one. Members that are not known are passed over.
    ///
    /// # Errors
    /// [`FieldError`] if it is none.
    pub fn decode(body: &[u8]) -> Result<Self, FieldError> {
        let mut object = json::object(body)?;
        let seconds = |value: Json| value.whole(1, MAX_LEASE);
        Ok(Self {
            lease: Duration::from_secs(object.required("lease_s", "a whole number from 1 to 86400", seconds)?),
            held: object.required("held", "a whole number", |value| value.whole(0, 1 << 32))? as usize,
            whole: object.required("whole", "true or false", Json::flag)?,
        })
    }
}

/// Why a body is no message of an agent.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// It is too long.
    #[error("message of {given} bytes is longer than {MAX_BYTES}")]
    Long {
        /// How long.
        given: usize,
    },
    /// It has too many rows.
    #[error("message of {given} rows is longer than {MAX_ROWS}")]
    Many {
        /// How many, those that are gone among them.
        given: usize,
    },
    /// It is not what JSON, or a member, may be.
    #[error("{0}")]
    Json(#[from] FieldError),
    /// A name in it is none.
    #[error("{0}")]
    Name(#[from] NameError),
    /// A row is not what it may be.
    #[error("rows[{index}]: {source}")]
    Row {
        /// Which.
        index: usize,
        /// What is wrong with it.
        source: Box<AnnouncementError>,
    },
    /// A row has no id or no name.
    #[error("rows[{index}]: {field} is missing")]
    Nameless {
        /// Which.
        index: usize,
        /// What it lacks.
        field: &'static str,
    },
    /// A row belongs to another agent.
    #[error("rows[{index}]: agent {given} is not {agent}, who says so; nobody announces for another")]
    Owner {
        /// Which.
        index: usize,
        /// Whose it says it is.
        given: AgentId,
        /// Who says so.
        agent: AgentId,
    },
}

fn announcement(row: Json, index: usize, agent: &AgentId) -> Result<Announcement, RowsError> {
    let broken = |source| RowsError::Row { index, source: Box::new(source) };
    let Json::Object(object) = row else {
        return Err(FieldError::new("rows", &row, "announcements").into());
    };
    let announcement = Announcement::from_object(object).map_err(broken)?.announcement;
    match &announcement {
        Announcement { agent: Some(given), .. } if given != agent => {
            Err(RowsError::Owner { index, given: given.clone(), agent: agent.clone() })
        }
        Announcement { id: None, .. } => Err(RowsError::Nameless { index, field: "id" }),
        Announcement { name: None, .. } => Err(RowsError::Nameless { index, field: "name" }),
        Announcement { .. } => Ok(announcement),
    }
}

/// The longest message, bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Rows of the longest message, those that are gone among them.
pub const MAX_ROWS: usize = 2_048;
/// The longest lease, seconds.
const MAX_LEASE: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec;
    use proptest::prelude::*;

    fn row(id: &str) -> Announcement {
        let mut service =
            Service::new(alloc::format!("{id}@gw-7").parse().unwrap(), "charging".parse().unwrap(), Kind::Gateway);
        service.resources.insert("power_kw".into(), crate::service::Value::Number(22.0));
        Announcement::from_service(&service, Duration::from_secs(90), UnixMillis(0), Timestamp::START)
    }

    fn message() -> Rows {
        Rows {
            agent: "gw-7".parse().unwrap(),
            kind: Kind::Gateway,
            epoch: 4,
            lease: Duration::from_secs(90),
            whole: true,
            leaving: false,
            place: Position::new(48.8566, 2.3522).ok().map(|position| (position, Some(3.0))),
            rows: vec![row("cp1"), row("cp2")],
            gone: vec!["old".parse().unwrap()],
        }
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let message = message();
        assert_eq!(Rows::decode(&message.encode()).unwrap(), message);
        let refresh = Rows { whole: false, place: None, rows: vec![], gone: vec![], ..message };
        let text = String::from_utf8(refresh.encode()).unwrap();
        assert_eq!(text, r#"{"agent":"gw-7","epoch":4,"kind":"gateway","lease_s":90}"#);
        assert_eq!(Rows::decode(text.as_bytes()).unwrap(), refresh);
        let receipt = Receipt { lease: Duration::from_secs(90), held: 2, whole: true };
        assert_eq!(Receipt::decode(&receipt.encode()).unwrap(), receipt);
    }

    #[test]
    fn what_a_row_offers_bears_the_name_of_who_says_so() {
        let message = message();
        let service = message.service(&message.rows[0], UnixMillis(0), Timestamp::START).unwrap();
        assert_eq!((service.id.as_str(), service.agent.as_ref()), ("cp1@gw-7", Some(&message.agent)));
        let presence = message.presence(Timestamp::START);
        assert_eq!((presence.id.as_str(), presence.name.as_str()), ("gw-7", "wayside"));
        assert_eq!(presence.fix.unwrap().accuracy, 3.0);
    }

    #[test]
    fn nobody_announces_for_another_and_every_mistake_is_named() {
        let head = r#"{"agent":"gw-7","epoch":4,"kind":"gateway","lease_s":90,"#;
        for (rest, named) in [
            (r#""rows":[{"id":"a","name":"x","agent":"gw-8"}]}"#, "rows[0]: agent gw-8 is not gw-7"),
            (r#""rows":[{"id":"a","name":"x"},{"name":"x"}]}"#, "rows[1]: id is missing"),
            (r#""rows":[{"id":"a"}]}"#, "rows[0]: name is missing"),
            (r#""rows":[{"id":"a","name":"x","lat":91,"lon":0}]}"#, "rows[0]: "),
            (r#""rows":[3]}"#, "rows 3"),
            (r#""gone":["a b"]}"#, "gone"),
            (r#""lease_s":1}"#, "not a JSON object"),
        ] {
            let error = Rows::decode(alloc::format!("{head}{rest}").as_bytes()).unwrap_err().to_string();
            assert!(error.contains(named), "{rest}: {error}");
        }
        for body in [&b"{}"[..], b"", br#"{"agent":"a","epoch":4,"kind":"gateway","lease_s":0}"#] {
            assert!(Rows::decode(body).is_err());
        }
        let many = Rows { gone: (0..2_049).map(|n| alloc::format!("s{n}").parse().unwrap()).collect(), ..message() };
        assert!(matches!(Rows::decode(&many.encode()), Err(RowsError::Many { given: 2_051 })));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Rows::decode(&bytes);
            let _ = Receipt::decode(&bytes);
        }
    }
}
