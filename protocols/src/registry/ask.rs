//! The question an edge puts to a registry: the part of its own that a registry can answer.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::json::{Json, Object, rounded};
use crate::place::{Distance, Position};
use crate::service::{Kind, ServiceName, Value};

/// One question. Two that are equal are written alike, byte for byte, so that one answer serves both.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Which service; `None` for any.
    pub name: Option<ServiceName>,
    /// Around where, how far.
    pub near: Option<(Position, Distance)>,
    /// Only what is offered by one of these; empty for any.
    pub kinds: Vec<Kind>,
    /// What it must have, by resource.
    pub bounds: Vec<(Box<str>, Bound)>,
    /// Whether lives may depend on the answer.
    pub critical: bool,
    /// At most so many rows.
    pub limit: u16,
}

/// What a resource must amount to.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// Just this.
    Equal(Value),
    /// This or more.
    AtLeast(Value),
    /// This or less.
    AtMost(Value),
}

impl Ask {
    /// As the body of `POST /v1/discovery/services`. The registry is to answer from what it holds itself, whatever it
    /// may ask in its turn: a question goes up one step at a time.
    pub fn to_json(&self) -> Vec<u8> {
        let mut constraints = Object::default();
        if let Some((centre, radius)) = &self.near {
            let mut location = Object::default();
            location.put("lat", Json::Number(rounded(centre.latitude(), 1e7)));
            location.put("lon", Json::Number(rounded(centre.longitude(), 1e7)));
            if let Some(metres) = centre.altitude() {
                location.put("altitude_m", Json::Number(rounded(f64::from(metres), 1e2)));
            }
            location.put("radius_m", Json::Number(rounded(radius.as_metres(), 1e2)));
            constraints.put("location", Json::Object(location));
        }
        if !self.kinds.is_empty() {
            let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.as_str()).collect();
            constraints.put("kind", Json::Text(kinds.join(",")));
        }
        if !self.bounds.is_empty() {
            let bounds: BTreeMap<String, Json> =
                self.bounds.iter().map(|(resource, bound)| (resource.to_string(), bound.to_json())).collect();
            constraints.put("resources", Json::Object(Object(bounds)));
        }
        let mut body = Object::default();
        body.put("service_name", Json::Text(self.name.as_ref().map_or("*", ServiceName::as_str).to_string()));
        body.put("constraints", Json::Object(constraints));
        body.put("safety_critical", Json::Flag(self.critical));
        body.put("limit", Json::Number(self.limit.into()));
        body.put("all_tiers", Json::Flag(true));
        body.put("farthest_tier", Json::Text("neighbour".to_string()));
        body.to_bytes()
    }
}

impl Bound {
    fn to_json(&self) -> Json {
        match self {
            Self::Equal(Value::Number(number)) => Json::Number(*number),
            Self::Equal(Value::Flag(flag)) => Json::Flag(*flag),
            Self::Equal(Value::Text(text)) => Json::Text(text.to_string()),
            Self::AtLeast(value) => Json::Text(format!(">={value}")),
            Self::AtMost(value) => Json::Text(format!("<={value}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_question_is_written_as_the_api_reads_it() {
        let ask = Ask {
            name: "charging".parse().ok(),
            near: Position::new(48.8566, 2.3522).ok().map(|centre| (centre, Distance::metres(500))),
            kinds: vec![Kind::Gateway, Kind::Vehicle],
            bounds: vec![
                ("cpu".into(), Bound::AtLeast(Value::Number(2.0))),
                ("gpu".into(), Bound::Equal(Value::Flag(true))),
                ("price".into(), Bound::AtMost(Value::Number(0.2))),
            ],
            critical: false,
            limit: 10,
        };
        let text = String::from_utf8(ask.to_json()).unwrap();
        let expected = r#"{"all_tiers":true,"constraints":{"kind":"gateway,vehicle","location":{"lat":48.8566,"lon":2.3522,"radius_m":500},"resources":{"cpu":">=2","gpu":true,"price":"<=0.2"}},"farthest_tier":"neighbour","limit":10,"safety_critical":false,"service_name":"charging"}"#;
        assert_eq!(text, expected);
    }
}
