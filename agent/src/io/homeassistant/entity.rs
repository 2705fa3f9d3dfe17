//! One point of a device in the words of Home Assistant.
//!
//! Heads up: Home Assistant's "MQTT discovery" rules topics and members, and its sensor integration which unit goes with
//! which device class, and which state class with that. The form with one message an entity is used, since the one with
//! a message a device is only known from 2024.11 on.

use serde_json::{Map, Value as Json, json};
use wayside_protocols::modbus::identify::Identified;
use wayside_protocols::modbus::profile::{Format, Meaning, Point, Sort};
use wayside_protocols::modbus::reading::Reading;
use wayside_protocols::mqtt::topic::Topic;
use wayside_protocols::service::{AgentId, Label, ServiceId, Value};
use wayside_protocols::text::escaped;

/// A device that is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The agent whose device it is.
    pub agent: AgentId,
    /// What the agent calls it.
    pub label: Label,
    /// Who it is.
    pub identified: Identified,
}

impl Shown {
    /// The device that is the service `id`; `None` if that is no device of ours.
    pub fn new(id: &ServiceId, identified: &Identified) -> Option<Self> {
        let (label, agent) = id.parts()?;
        Some(Self { agent: agent.parse().ok()?, label: label.parse().ok()?, identified: identified.clone() })
    }

    /// Its points that are shown: whatever does not say who it is, since that stands with the device.
    pub fn points(&self) -> Vec<Point> {
        let mut points = self.identified.points();
        points.retain(|point| point.sort != Sort::Identity);
        points
    }

    /// Where its values are published.
    pub fn topic(&self) -> Box<str> {
        Topic::Values { agent: self.agent.clone(), id: self.label.clone() }.to_string().into()
    }

    /// What is published there.
    pub fn values(&self, readings: &[Reading]) -> Vec<u8> {
        let mut points = Map::new();
        for reading in readings {
            let value = match &reading.value {
                Ok(Value::Number(number)) => Json::from(*number),
                Ok(Value::Flag(flag)) => (*flag).into(),
                Ok(Value::Text(text)) => escaped(text).into(),
                Err(_) => Json::Null,
            };
            points.insert(reading.point.to_string(), value);
        }
        json!({ "state": ONLINE, "points": points }).to_string().into_bytes()
    }

    /// What is published there as long as it does not answer.
    pub fn lost() -> Vec<u8> {
        json!({ "state": "lost", "points": {} }).to_string().into_bytes()
    }

    /// Where the configuration of `point` is published, below Home Assistant's prefix.
    pub fn config_topic(&self, prefix: &str, point: &Point) -> Box<str> {
        let component = if flag(point) { "binary_sensor" } else { "sensor" };
        format!("{prefix}/{component}/{}/{}_{}/config", node(&self.agent), self.label, safe(&point.name)).into()
    }

    /// What is published there.
    pub fn config(&self, point: &Point) -> Vec<u8> {
        let own = self.topic();
        let presence = Topic::Presence(self.agent.clone()).to_string();
        let said = |topic: &str| {
            // Whatever is neither of the two payloads would leave it as it was.
            json!({ "topic": topic, "value_template": "{{ 'online' if value_json.state == 'online' else 'offline' }}" })
        };
        let mut config = json!({
            "name": title(&point.name),
            "unique_id": format!("wayside_{}_{}_{}", self.agent, self.label, point.name),
            "object_id": format!("{}_{}", self.label, point.name),
            "state_topic": own,
            "availability": [said(&presence), said(&own)],
            "availability_mode": "all",
            "device": self.device(),
            "origin": { "name": "Wayside", "sw_version": env!("CARGO_PKG_VERSION") },
        });
        let mut numeric = false;
        if flag(point) {
            (config["payload_on"], config["payload_off"]) = ("True".into(), "False".into());
        } else if number(point) {
            let (unit, class) = meaning(point);
            numeric = !unit.is_empty() || class.is_some() || state_class(point, class).is_some();
            if !unit.is_empty() {
                config["unit_of_measurement"] = unit.into();
            }
            if let Some(class) = class {
                config["device_class"] = class.into();
            }
            if let Some(state) = state_class(point, class) {
                config["state_class"] = state.into();
            }
        }
        config["value_template"] = value_template(&point.name, numeric || flag(point)).into();
        if point.sort == Sort::Setting {
            config["entity_category"] = "diagnostic".into();
        }
        config.to_string().into_bytes()
    }

    fn device(&self) -> Json {
        let identity = &self.identified.identity;
        let words: Vec<_> =
            [&identity.manufacturer, &identity.model].into_iter().flatten().map(|text| escaped(text)).collect();
        let name = if words.is_empty() { self.label.to_string() } else { words.join(" ") };
        let mut device = json!({ "identifiers": [format!("wayside_{}_{}", self.agent, self.label)], "name": name });
        for (key, text) in [
            ("manufacturer", &identity.manufacturer),
            ("model", &identity.model),
            ("sw_version", &identity.version),
            ("serial_number", &identity.serial),
        ] {
            if let Some(text) = text {
                device[key] = escaped(text).into();
            }
        }
        device
    }
}

/// What listens to every configuration of `agent` below `prefix`.
pub(super) fn filter(prefix: &str, agent: &AgentId) -> String {
    format!("{prefix}/+/{}/+/config", node(agent))
}

/// Whether a configuration topic is one of the device `label`.
pub(super) fn belongs(topic: &str, label: &Label) -> bool {
    let object = topic.rsplit('/').nth(1).and_then(|object| object.strip_prefix(label.as_str()));
    object.is_some_and(|rest| rest.starts_with('_'))
}

/// The level under which all of `agent` is. Home Assistant takes letters, digits, `_` and `-` there.
fn node(agent: &AgentId) -> String {
    format!("wayside-{}", safe(agent.as_str()))
}

/// `text` in letters, digits, `_` and `-`; the dots and colons of an agent's id become `_2e` and `_3a`.
fn safe(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    text.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("_{byte:02x}") }).collect()
}

/// What takes the value of a point out of its device's message. One that could not be read is null there, and so unknown:
/// Home Assistant knows `None` for that where it expects a number, on or off; anywhere else that would be a text.
fn value_template(name: &str, expected: bool) -> String {
    let value = format!("value_json.points['{name}'] | default(none)");
    if expected {
        return format!("{{{{ {value} }}}}");
    }
    format!("{{% set value = {value} %}}{{{{ 'unknown' if value is none else value }}}}")
}

/// `voltage_l1` as people read it: `Voltage l1`.
fn title(name: &str) -> String {
    let mut words = name.replace('_', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

fn flag(point: &Point) -> bool {
    point.meaning == Meaning::Number && matches!(point.format, Format::Flag(_))
}

fn number(point: &Point) -> bool {
    point.meaning == Meaning::Number && !matches!(point.format, Format::Flag(_) | Format::Text(_))
}

/// The unit as Home Assistant spells it, and the device class that has it.
fn meaning(point: &Point) -> (&str, Option<&'static str>) {
    let name = &*point.name;
    let unit = match &*point.unit {
        "l/min" => "L/min",
        "l" => "L",
        unit => unit,
    };
    let class = match unit {
        "V" | "mV" => "voltage",
        "A" | "mA" => "current",
        "W" | "kW" => "power",
        // What is stored goes up and down.
        "Wh" | "kWh" | "MWh" if point.sort == Sort::Total => "energy",
        "Wh" | "kWh" | "MWh" => "energy_storage",
        "VA" => "apparent_power",
        "var" => "reactive_power",
        "Hz" => "frequency",
        "°C" | "K" => "temperature",
        "s" | "min" | "h" | "d" => "duration",
        "Pa" | "hPa" | "kPa" | "bar" | "mbar" => "pressure",
        "m³/h" | "L/min" => "volume_flow_rate",
        "L" | "m³" if point.sort == Sort::Total => "volume",
        "L" | "m³" => "volume_storage",
        "lx" => "illuminance",
        "W/m²" => "irradiance",
        "%" if name.ends_with("soc") => "battery",
        "%" if name.contains("humidity") => "humidity",
        "" | "%" if name.starts_with("power_factor") => "power_factor",
        _ => return (unit, None),
    };
    (unit, Some(class))
}

/// Whether its values are worth a statistic, and which.
fn state_class(point: &Point, class: Option<&str>) -> Option<&'static str> {
    match point.sort {
        Sort::Total if matches!(class, None | Some("energy" | "volume" | "duration")) => Some("total_increasing"),
        Sort::Measure => Some("measurement"),
        Sort::Total | Sort::State | Sort::Setting | Sort::Identity => None,
    }
}

/// The state of a device that answers.
const ONLINE: &str = "online";
