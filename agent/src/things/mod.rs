//! Devices as W3C Things: the description that any client of the Web of Things reads.
//!
//! Heads up: "Web of Things (WoT) Thing Description 1.1" (W3C Recommendation, 2023-12-05) rules the document, and the
//! "WoT Modbus Binding" its `modv:` terms. The binding knows neither scale nor offset, and neither "not implemented":
//! a register whose bits are not the value stands under a name of its own that ends in `_raw`, so that nobody takes the
//! one for the other.

#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};
use wayside_protocols::modbus::identify::Identified;
use wayside_protocols::modbus::profile::{Format, Meaning, Order, Point, Scale, Sort};
use wayside_protocols::modbus::request::Table;
use wayside_protocols::modbus::translate::Way;
use wayside_protocols::modbus::unit::Unit;
use wayside_protocols::service::{Endpoint, ServiceId};
use wayside_protocols::text::escaped;

/// A device to be described.
#[derive(Clone, Copy, Debug)]
pub struct Thing<'a> {
    /// Which service it is.
    pub id: &'a ServiceId,
    /// Who it is and what points it has.
    pub identified: &'a Identified,
    /// By which way it is reached.
    pub way: &'a Way,
    /// Which unit there.
    pub unit: Unit,
    /// The way through this agent.
    pub door: &'a Door,
}

/// How values are read through this agent's API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Door {
    /// Where the API is, like `http://127.0.0.1:7878`; empty leaves out the forms that go through it.
    pub base: String,
    /// Whether each request needs the token.
    pub token: bool,
}

impl Door {
    /// The security schemes that its forms name.
    pub fn definitions(&self) -> Value {
        let mut definitions = json!({ "nosec": { "scheme": "nosec" } });
        if self.token {
            definitions["token"] = json!({ "scheme": "bearer", "in": "header" });
        }
        definitions
    }

    /// The one that the API wants.
    pub const fn security(&self) -> &'static str {
        if self.token { "token" } else { "nosec" }
    }
}

impl Thing<'_> {
    /// Its description.
    pub fn describe(&self) -> Value {
        let mut properties = Map::new();
        for point in self.identified.points() {
            let modbus = self.modbus(&point);
            let mut forms: Vec<Value> = self.http(&point).into_iter().collect();
            if plain(&point) {
                forms.extend(modbus);
            } else if let Some(form) = modbus {
                properties.insert(format!("{}_raw", point.name), raw(&point, form));
            }
            if !forms.is_empty() {
                properties.insert(point.name.to_string(), property(&point, forms));
            }
        }
        let identity = &self.identified.identity;
        let mut thing = json!({
            "@context": ["https://www.w3.org/2022/wot/td/v1.1", {
                "modv": "https://www.w3.org/2019/wot/modbus#",
                "wayside": "urn:wayside:td:",
            }],
            "id": format!("urn:wayside:thing:{}", encoded(self.id.as_str())),
            "title": self.title(),
            "securityDefinitions": self.door.definitions(),
            "security": "nosec",
            "wayside:class": self.identified.class().as_str(),
            "wayside:unit": self.unit.0,
            "wayside:confidence": (f64::from(self.identified.confidence) * 100.0).round() / 100.0,
            "properties": properties,
        });
        for (key, text) in [
            ("wayside:manufacturer", &identity.manufacturer),
            ("wayside:model", &identity.model),
            ("wayside:serial", &identity.serial),
        ] {
            if let Some(text) = text {
                thing[key] = escaped(text).into();
            }
        }
        if let Some(version) = &identity.version {
            thing["version"] = json!({ "instance": "1", "model": escaped(version) });
        }
        thing
    }

    fn title(&self) -> String {
        let identity = &self.identified.identity;
        let words: Vec<_> =
            [&identity.manufacturer, &identity.model].into_iter().flatten().map(|text| escaped(text)).collect();
        if words.is_empty() { format!("{} {}", self.identified.class(), self.id) } else { words.join(" ") }
    }

    /// Through this agent: the value, with its scale applied.
    fn http(&self, point: &Point) -> Option<Value> {
        let Door { base, token } = self.door;
        if base.is_empty() {
            return None;
        }
        let href = format!("{base}/things/{}/properties/{}", encoded(self.id.as_str()), point.name);
        let mut form = json!({ "href": href, "op": "readproperty", "contentType": "application/json" });
        if *token {
            form["security"] = self.door.security().into();
        }
        Some(form)
    }

    /// From the device itself: the bits as they come. The binding has no URL for serial lines, nor for RTU over TCP.
    fn modbus(&self, point: &Point) -> Option<Value> {
        let Way::Tcp(Endpoint { host, port }) = self.way else { return None };
        let host = Endpoint { host: host.clone(), port: *port };
        let bits = point.table.bits();
        let width = point.width();
        let mut form = json!({
            "href": format!("modbus+tcp://{host}/{}/{}?quantity={width}", self.unit, point.address),
            "op": "readproperty",
            "contentType": content(point),
            "modv:entity": match point.table {
                Table::Coils => "Coil",
                Table::DiscreteInputs => "DiscreteInput",
                Table::HoldingRegisters => "HoldingRegister",
                Table::InputRegisters => "InputRegister",
            },
            // Its default is the other one, and clients differ in whether they know that.
            "modv:zeroBasedAddressing": true,
        });
        if !bits {
            form["modv:mostSignificantByte"] = (!point.order.bytes_swapped()).into();
            form["modv:mostSignificantWord"] = (!point.order.registers_reversed()).into();
        }
        let profile = self.identified.profile.as_ref();
        if let Some(group) = profile.and_then(|profile| profile.groups.get(usize::from(point.group))) {
            form["modv:pollingTime"] = u64::try_from(group.every.as_millis()).unwrap_or(u64::MAX).into();
        }
        Some(form)
    }
}

/// Whether the bits of a point are its value.
fn plain(point: &Point) -> bool {
    let number = point.scale == Scale::ONE && point.offset == 0.0 && point.exponent.is_none();
    let always = point.absent.is_empty() && point.range.is_none() && point.meaning == Meaning::Number;
    let flag = !matches!(point.format, Format::Flag(_)) || point.table.bits();
    number && always && flag && !matches!(point.format, Format::Text(_) | Format::U64 | Format::I64)
}

fn property(point: &Point, forms: Vec<Value>) -> Value {
    let mut property = json!({ "readOnly": true, "observable": false, "forms": forms });
    property["type"] = match (&point.meaning, point.format) {
        (Meaning::States(states), _) => {
            property["enum"] = states.iter().map(|(_, word)| Value::from(&**word)).collect();
            "string".into()
        }
        (Meaning::Flags(_), _) | (Meaning::Number, Format::Text(_)) => "string".into(),
        (Meaning::Number, Format::Flag(_)) => "boolean".into(),
        (Meaning::Number, format) => {
            let whole = plain(point) && !matches!(format, Format::F32 | Format::F64);
            (if whole { "integer" } else { "number" }).into()
        }
    };
    if !point.unit.is_empty() {
        property["unit"] = escaped(&point.unit).into();
    }
    if let Some((low, high)) = point.range {
        (property["minimum"], property["maximum"]) = (low.into(), high.into());
    }
    if point.sort != Sort::Measure {
        property["wayside:sort"] = point.sort.as_str().into();
    }
    property
}

/// The bits of `point`, with what makes a value of them.
fn raw(point: &Point, form: Value) -> Value {
    let mut raw = json!({
        "readOnly": true,
        "observable": false,
        "type": match point.format {
            Format::Text(_) => "string",
            Format::F32 | Format::F64 => "number",
            Format::Flag(_) if point.table.bits() => "boolean",
            Format::Flag(_) | Format::U16 | Format::I16 | Format::U32 | Format::I32 | Format::U64 | Format::I64 => "integer",
        },
        "wayside:of": &*point.name,
        "forms": [form],
    });
    if point.scale != Scale::ONE {
        raw["wayside:scale"] = point.scale.factor().into();
    }
    if point.offset != 0.0 {
        raw["wayside:offset"] = point.offset.into();
    }
    if let Some(address) = point.exponent {
        raw["wayside:exponentAt"] = address.into();
    }
    if !point.absent.is_empty() {
        raw["wayside:absent"] = point.absent.iter().map(|bits| Value::from(*bits)).collect();
    }
    let words = |words: &mut dyn Iterator<Item = (String, &str)>| {
        Value::Object(words.map(|(number, word)| (number, word.into())).collect())
    };
    match &point.meaning {
        Meaning::Number => {}
        Meaning::States(states) => {
            raw["wayside:states"] = words(&mut states.iter().map(|(number, word)| (number.to_string(), &**word)));
        }
        Meaning::Flags(flags) => {
            raw["wayside:flags"] = words(&mut flags.iter().map(|(bit, word)| (bit.to_string(), &**word)));
        }
    }
    if let (Format::Flag(bit), false) = (point.format, point.table.bits()) {
        raw["wayside:bit"] = bit.into();
    }
    raw
}

/// The media type that tells a client how the bytes are to be taken.
fn content(point: &Point) -> String {
    if point.table.bits() {
        return "application/octet-stream".to_owned();
    }
    let order = match point.order {
        Order::Abcd => "BIG_ENDIAN",
        Order::Cdab => "LITTLE_ENDIAN_BYTE_SWAP",
        Order::Badc => "BIG_ENDIAN_BYTE_SWAP",
        Order::Dcba => "LITTLE_ENDIAN",
    };
    let order =
        if let (Format::Text(_), false) = (point.format, point.order.bytes_swapped()) { "BIG_ENDIAN" } else { order };
    let signed = matches!(point.format, Format::I16 | Format::I32 | Format::I64 | Format::F32 | Format::F64);
    format!("application/octet-stream;length={};signed={signed};byteSeq={order}", 2 * point.width())
}

/// A service id as one segment of a path.
fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@' | b':');
    text.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
