//! JSON as people and scripts write it: read member by member, so that an error names the member, the value and the
//! limit. A member twice is refused, since whoever reads it next may take the other one.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::place::{OutOfRange, Position, within};
use crate::service::Kind;

/// Reads an object. Its depth is bounded by `serde_json` (128 levels), its size by whoever hands it in.
pub(crate) fn object(bytes: &[u8]) -> Result<Object, FieldError> {
    Ok(serde_json::from_slice::<Object>(bytes)?)
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Flag(bool),
    Number(f64),
    Text(String),
    List(Vec<Self>),
    Object(Object),
}

impl Json {
    pub(crate) fn text(self) -> Option<String> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(crate) fn flag(self) -> Option<bool> {
        if let Self::Flag(flag) = self { Some(flag) } else { None }
    }

    pub(crate) fn number(self) -> Option<f64> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }

    pub(crate) fn list(self) -> Option<Vec<Self>> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    /// A number without a fraction from `low` to `high`, which is at most 2^53.
    pub(crate) fn whole(self, low: u64, high: u64) -> Option<u64> {
        let number = self.number()?;
        let fits = number >= low as f64 && number <= high as f64 && libm::trunc(number) == number;
        fits.then_some(number as u64)
    }
}

/// Short enough for an error.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Flag(flag) => flag.fmt(f),
            // Plainly where that is short, else with an exponent.
            Self::Number(number) if *number == 0.0 || (1e-5..1e15).contains(&number.abs()) => number.fmt(f),
            Self::Number(number) => write!(f, "{number:e}"),
            Self::Text(text) => write!(f, "{:?}", text.chars().take(80).collect::<String>()),
            Self::List(_) => f.write_str("[..]"),
            Self::Object(_) => f.write_str("{..}"),
        }
    }
}

/// An object, its members in the order of their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Object(pub(crate) BTreeMap<String, Json>);

impl Object {
    /// How many members nobody has taken.
    pub(crate) fn left(&self) -> usize {
        self.0.len()
    }

    /// Takes a member out; `null` is as good as none.
    pub(crate) fn take(&mut self, field: &str) -> Option<Json> {
        self.0.remove(field).filter(|value| *value != Json::Null)
    }

    /// Takes out and reads a member that may be missing.
    pub(crate) fn optional<T>(
        &mut self,
        field: &'static str,
        limit: &'static str,
        read: impl FnOnce(Json) -> Option<T>,
    ) -> Result<Option<T>, FieldError> {
        let Some(value) = self.take(field) else { return Ok(None) };
        let given = value.clone();
        read(value).map(Some).ok_or_else(|| FieldError::new(field, &given, limit))
    }

    /// Takes out and reads a member that must be there.
    pub(crate) fn required<T>(
        &mut self,
        field: &'static str,
        limit: &'static str,
        read: impl FnOnce(Json) -> Option<T>,
    ) -> Result<T, FieldError> {
        self.optional(field, limit, read)?.ok_or(FieldError::Missing { field, limit })
    }

    /// Takes out a number from `low` to `high`.
    pub(crate) fn ranged(&mut self, field: &'static str, low: f64, high: f64) -> Result<Option<f64>, FieldError> {
        let number = self.optional(field, "a number", Json::number)?;
        if let Some(number) = number {
            within(field, number, low, high)?;
        }
        Ok(number)
    }

    /// Takes out an object.
    pub(crate) fn nested(&mut self, field: &'static str) -> Result<Option<Self>, FieldError> {
        self.optional(field, "an object", |value| if let Json::Object(object) = value { Some(object) } else { None })
    }

    /// Takes out the word for a kind.
    pub(crate) fn kind(&mut self) -> Result<Option<Kind>, FieldError> {
        self.optional("kind", "gateway, vehicle, roadside, device or software", |value| value.text()?.parse().ok())
    }

    /// Takes out `lat`, `lon`, `alt` and `accuracy_m`: where something stands, and how sure that is (one sigma,
    /// metres). Both coordinates or none.
    pub(crate) fn place(&mut self) -> Result<Option<(Position, Option<f32>)>, FieldError> {
        let latitude = self.optional("lat", "a number", Json::number)?;
        let longitude = self.optional("lon", "a number", Json::number)?;
        let altitude = self.ranged("alt", -1_000.0, 20_000.0)?;
        let accuracy = self.ranged("accuracy_m", 0.0, MAX_ACCURACY)?;
        let (latitude, longitude) = match (latitude, longitude) {
            (Some(latitude), Some(longitude)) => (latitude, longitude),
            (Some(_), None) => return Err(FieldError::Half { given: "lat", missing: "lon" }),
            (None, Some(_)) => return Err(FieldError::Half { given: "lon", missing: "lat" }),
            (None, None) if altitude.is_some() => return Err(FieldError::Half { given: "alt", missing: "lat" }),
            (None, None) if accuracy.is_some() => return Err(FieldError::Half { given: "accuracy_m", missing: "lat" }),
            (None, None) => return Ok(None),
        };
        let mut position = Position::new(latitude, longitude).map_err(named_as_given)?;
        if let Some(metres) = altitude {
            position = position.at_altitude(metres as f32)?;
        }
        Ok(Some((position, accuracy.map(|metres| metres as f32))))
    }

    pub(crate) fn put(&mut self, field: &str, value: Json) {
        self.0.insert(field.to_string(), value);
    }

    /// Puts what [`Object::place`] takes out, to 1e-7 degrees and centimetres.
    pub(crate) fn put_place(&mut self, position: &Position, accuracy: Option<f32>) {
        self.put("lat", Json::Number(rounded(position.latitude(), 1e7)));
        self.put("lon", Json::Number(rounded(position.longitude(), 1e7)));
        if let Some(metres) = position.altitude() {
            self.put("alt", Json::Number(rounded(f64::from(metres), 1e2)));
        }
        if let Some(metres) = accuracy {
            self.put("accuracy_m", Json::Number(rounded(f64::from(metres), 1e2)));
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Keys are text and numbers finite, so nothing in it can fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// `value` to the nearest `1 / scale`.
pub(crate) fn rounded(value: f64, scale: f64) -> f64 {
    libm::round(value * scale) / scale
}

/// The error in the words of JSON.
fn named_as_given(error: OutOfRange) -> OutOfRange {
    OutOfRange { field: if error.field == "latitude" { "lat" } else { "lon" }, ..error }
}

/// What is wrong with a JSON payload.
#[derive(Debug, thiserror::Error)]
pub enum FieldError {
    /// It is not a JSON object, or has a member twice.
    #[error("not a JSON object")]
    Syntax(#[from] serde_json::Error),
    /// A member is not what it may be.
    #[error("{field} {given} is not allowed: {limit}")]
    Value {
        /// Which.
        field: &'static str,
        /// What was given, at most 80 characters.
        given: String,
        /// What it may be.
        limit: &'static str,
    },
    /// A number is outside its range.
    #[error(transparent)]
    Range(#[from] OutOfRange),
    /// A member that must be there is not.
    #[error("{field} is missing: {limit}")]
    Missing {
        /// Which.
        field: &'static str,
        /// What it may be.
        limit: &'static str,
    },
    /// A member that makes sense only with another stands alone.
    #[error("{given} is set without {missing}")]
    Half {
        /// What is there.
        given: &'static str,
        /// What is not.
        missing: &'static str,
    },
}

impl FieldError {
    pub(crate) fn new(field: &'static str, given: &Json, limit: &'static str) -> Self {
        Self::Value { field, given: given.to_string(), limit }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Json::Object(object) = deserializer.deserialize_map(AnyValue)? else {
            return Err(D::Error::custom("not an object"));
        };
        Ok(object)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Json, E> {
        Ok(Json::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_string()))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = BTreeMap::new();
        while let Some((name, value)) = members.next_entry::<String, Json>()? {
            if object.contains_key(&name) {
                let name: String = name.chars().take(80).collect();
                return Err(A::Error::custom(format_args!("{name:?} stands there twice")));
            }
            object.insert(name, value);
        }
        Ok(Json::Object(Object(object)))
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            // As people write whole numbers; beyond 2^53 they are none any more.
            Self::Number(number) if libm::trunc(*number) == *number && number.abs() < 9.0e15 => {
                serializer.serialize_i64(*number as i64)
            }
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => serializer.collect_seq(list),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(&self.0)
    }
}

/// The least sure a position may be and still be one: one sigma, metres.
pub(crate) const MAX_ACCURACY: f64 = 100_000.0;
