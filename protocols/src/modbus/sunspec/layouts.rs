//! Which registers of which model mean what: facts from github.com/sunspec/models (Apache-2.0).
//!
//! Written by tests/peers/sunspec_models.py, which says how; not by hand.
#![cfg_attr(rustfmt, rustfmt_skip)]

use super::super::profile::Class;
use super::{Kind, Row};

/// One layout of registers, and the models that have it.
#[derive(Debug)]
pub struct Model {
    pub(super) numbers: &'static [u16],
    pub(super) class: Option<Class>,
    /// Offsets count from the model's number.
    pub(super) rows: &'static [Row],
    /// Before the names of what repeats.
    pub(super) word: &'static str,
    /// Where it begins, how many registers each takes, and the points of the first.
    pub(super) repeated: (u16, u16, &'static [Row]),
}

/// The layout of `model`, if it is known here.
pub(super) fn known(model: u16) -> Option<&'static Model> {
    MODELS.iter().find(|known| known.numbers.contains(&model))
}

const fn row(
    name: &'static str, offset: u16, kind: Kind, factor: u16, unit: &'static str, states: &'static [(u16, &'static str)],
) -> Row {
    Row { name, offset, kind, factor, unit, states }
}

static MODELS: &[Model] = &[
    Model { numbers: &[1], class: None, rows: COMMON, word: "", repeated: (0, 0, &[]) },
    Model { numbers: &[101, 102, 103], class: Some(Class::Inverter), rows: INVERTER, word: "", repeated: (0, 0, &[]) },
    Model { numbers: &[111, 112, 113], class: Some(Class::Inverter), rows: INVERTER_FLOAT, word: "", repeated: (0, 0, &[]) },
    Model { numbers: &[120], class: None, rows: NAMEPLATE, word: "", repeated: (0, 0, &[]) },
    Model { numbers: &[124], class: None, rows: STORAGE, word: "", repeated: (0, 0, &[]) },
    Model { numbers: &[160], class: Some(Class::Inverter), rows: MPPT, word: "mppt", repeated: MPPT_REPEATED },
    Model { numbers: &[201, 202, 203, 204], class: Some(Class::Meter), rows: METER, word: "", repeated: (0, 0, &[]) },
    Model { numbers: &[211, 212, 213, 214], class: Some(Class::Meter), rows: METER_FLOAT, word: "", repeated: (0, 0, &[]) },
    Model { numbers: &[701], class: Some(Class::Inverter), rows: DER, word: "", repeated: (0, 0, &[]) },
    Model { numbers: &[702], class: None, rows: DER_CAPACITY, word: "", repeated: (0, 0, &[]) },
    Model { numbers: &[713], class: Some(Class::Battery), rows: DER_STORAGE, word: "", repeated: (0, 0, &[]) },
    Model { numbers: &[802], class: Some(Class::Battery), rows: BATTERY, word: "", repeated: (0, 0, &[]) },
    Model { numbers: &[803], class: Some(Class::Battery), rows: LITHIUM, word: "string", repeated: LITHIUM_REPEATED },
];

static COMMON: &[Row] = &[
    row("manufacturer", 2, Kind::Text(16), 0, "", &[]),
    row("model", 18, Kind::Text(16), 0, "", &[]),
    row("options", 34, Kind::Text(8), 0, "", &[]),
    row("version", 42, Kind::Text(8), 0, "", &[]),
    row("serial", 50, Kind::Text(16), 0, "", &[]),
];

static INVERTER: &[Row] = &[
    row("power", 14, Kind::Int16, 15, "W", &[]),
    row("current", 2, Kind::Uint16, 6, "A", &[]),
    row("current_l1", 3, Kind::Uint16, 6, "A", &[]),
    row("current_l2", 4, Kind::Uint16, 6, "A", &[]),
    row("current_l3", 5, Kind::Uint16, 6, "A", &[]),
    row("voltage_l1", 10, Kind::Uint16, 13, "V", &[]),
    row("voltage_l2", 11, Kind::Uint16, 13, "V", &[]),
    row("voltage_l3", 12, Kind::Uint16, 13, "V", &[]),
    row("frequency", 16, Kind::Uint16, 17, "Hz", &[]),
    row("apparent_power", 18, Kind::Int16, 19, "VA", &[]),
    row("reactive_power", 20, Kind::Int16, 21, "var", &[]),
    row("power_factor", 22, Kind::Int16, 23, "%", &[]),
    row("energy_total", 24, Kind::Acc32, 26, "Wh", &[]),
    row("dc_current", 27, Kind::Uint16, 28, "A", &[]),
    row("dc_voltage", 29, Kind::Uint16, 30, "V", &[]),
    row("dc_power", 31, Kind::Int16, 32, "W", &[]),
    row("temperature", 33, Kind::Int16, 37, "°C", &[]),
    row("temperature_sink", 34, Kind::Int16, 37, "°C", &[]),
    row("temperature_transformer", 35, Kind::Int16, 37, "°C", &[]),
    row("temperature_other", 36, Kind::Int16, 37, "°C", &[]),
    row("state", 38, Kind::Enum16, 0, "", &[(1, "off"), (2, "sleeping"), (3, "starting"), (4, "mppt"), (5, "throttled"), (6, "shutting down"), (7, "fault"), (8, "standby")]),
    row("state_vendor", 39, Kind::Enum16, 0, "", &[]),
    row("events", 40, Kind::Bits32, 0, "", &[(0, "ground fault"), (1, "dc over volt"), (2, "ac disconnect"), (3, "dc disconnect"), (4, "grid disconnect"), (5, "cabinet open"), (6, "manual shutdown"), (7, "over temp"), (8, "over frequency"), (9, "under frequency"), (10, "ac over volt"), (11, "ac under volt"), (12, "blown string fuse"), (13, "under temp"), (14, "memory loss"), (15, "hw test failure")]),
    row("voltage_l1_l2", 7, Kind::Uint16, 13, "V", &[]),
    row("voltage_l2_l3", 8, Kind::Uint16, 13, "V", &[]),
    row("voltage_l3_l1", 9, Kind::Uint16, 13, "V", &[]),
];

static INVERTER_FLOAT: &[Row] = &[
    row("power", 22, Kind::Float32, 0, "W", &[]),
    row("current", 2, Kind::Float32, 0, "A", &[]),
    row("current_l1", 4, Kind::Float32, 0, "A", &[]),
    row("current_l2", 6, Kind::Float32, 0, "A", &[]),
    row("current_l3", 8, Kind::Float32, 0, "A", &[]),
    row("voltage_l1", 16, Kind::Float32, 0, "V", &[]),
    row("voltage_l2", 18, Kind::Float32, 0, "V", &[]),
    row("voltage_l3", 20, Kind::Float32, 0, "V", &[]),
    row("frequency", 24, Kind::Float32, 0, "Hz", &[]),
    row("apparent_power", 26, Kind::Float32, 0, "VA", &[]),
    row("reactive_power", 28, Kind::Float32, 0, "var", &[]),
    row("power_factor", 30, Kind::Float32, 0, "%", &[]),
    row("energy_total", 32, Kind::Float32, 0, "Wh", &[]),
    row("dc_current", 34, Kind::Float32, 0, "A", &[]),
    row("dc_voltage", 36, Kind::Float32, 0, "V", &[]),
    row("dc_power", 38, Kind::Float32, 0, "W", &[]),
    row("temperature", 40, Kind::Float32, 0, "°C", &[]),
    row("temperature_sink", 42, Kind::Float32, 0, "°C", &[]),
    row("temperature_transformer", 44, Kind::Float32, 0, "°C", &[]),
    row("temperature_other", 46, Kind::Float32, 0, "°C", &[]),
    row("state", 48, Kind::Enum16, 0, "", &[(1, "ggoff"), (2, "ggsleeping"), (3, "ggstarting"), (4, "ggmppt"), (5, "ggthrottled"), (6, "ggshutting down"), (7, "ggfault"), (8, "ggstandby")]),
    row("state_vendor", 49, Kind::Enum16, 0, "", &[]),
    row("events", 50, Kind::Bits32, 0, "", &[(0, "ground fault"), (1, "dc over volt"), (2, "ac disconnect"), (3, "dc disconnect"), (4, "grid disconnect"), (5, "cabinet open"), (6, "manual shutdown"), (7, "over temp"), (8, "over frequency"), (9, "under frequency"), (10, "ac over volt"), (11, "ac under volt"), (12, "blown string fuse"), (13, "under temp"), (14, "memory loss"), (15, "hw test failure")]),
    row("voltage_l1_l2", 10, Kind::Float32, 0, "V", &[]),
    row("voltage_l2_l3", 12, Kind::Float32, 0, "V", &[]),
    row("voltage_l3_l1", 14, Kind::Float32, 0, "V", &[]),
];

static NAMEPLATE: &[Row] = &[
    row("der_type", 2, Kind::Enum16, 0, "", &[(4, "pv"), (82, "pv stor")]),
    row("power_rating", 3, Kind::Uint16, 4, "W", &[]),
    row("apparent_power_rating", 5, Kind::Uint16, 6, "VA", &[]),
    row("current_rating", 12, Kind::Uint16, 13, "A", &[]),
    row("energy_rating", 19, Kind::Uint16, 20, "Wh", &[]),
    row("charge_rating", 21, Kind::Uint16, 22, "Ah", &[]),
    row("charge_power_rating", 23, Kind::Uint16, 24, "W", &[]),
    row("discharge_power_rating", 25, Kind::Uint16, 26, "W", &[]),
];

static STORAGE: &[Row] = &[
    row("charge_power_max", 2, Kind::Uint16, 18, "W", &[]),
    row("storage_control", 5, Kind::Bits16, 0, "", &[(0, "charge"), (1, "discharge")]),
    row("reserve_min", 7, Kind::Uint16, 21, "%", &[]),
    row("soc", 8, Kind::Uint16, 22, "%", &[]),
    row("storage_available", 9, Kind::Uint16, 23, "Ah", &[]),
    row("battery_voltage", 10, Kind::Uint16, 24, "V", &[]),
    row("charge_state", 11, Kind::Enum16, 0, "", &[(1, "off"), (2, "empty"), (3, "discharging"), (4, "charging"), (5, "full"), (6, "holding"), (7, "testing")]),
    row("discharge_rate", 12, Kind::Int16, 25, "%", &[]),
    row("charge_rate", 13, Kind::Int16, 25, "%", &[]),
    row("charge_source", 17, Kind::Enum16, 0, "", &[(0, "pv"), (1, "grid")]),
];

static MPPT: &[Row] = &[
    row("mppt_events", 6, Kind::Bits32, 0, "", &[(0, "ground fault"), (1, "input over voltage"), (3, "dc disconnect"), (5, "cabinet open"), (6, "manual shutdown"), (7, "over temp"), (12, "blown fuse"), (13, "under temp"), (14, "memory loss"), (15, "arc detection"), (20, "test failed"), (21, "input under voltage"), (22, "input over current")]),
];

static MPPT_REPEATED: (u16, u16, &[Row]) = (10, 20, &[
    row("name", 11, Kind::Text(8), 0, "", &[]),
    row("current", 19, Kind::Uint16, 2, "A", &[]),
    row("voltage", 20, Kind::Uint16, 3, "V", &[]),
    row("power", 21, Kind::Uint16, 4, "W", &[]),
    row("energy_total", 22, Kind::Acc32, 5, "Wh", &[]),
    row("temperature", 26, Kind::Int16, 0, "°C", &[]),
    row("state", 27, Kind::Enum16, 0, "", &[(1, "off"), (2, "sleeping"), (3, "starting"), (4, "mppt"), (5, "throttled"), (6, "shutting down"), (7, "fault"), (8, "standby"), (9, "test")]),
    row("events", 28, Kind::Bits32, 0, "", &[(0, "ground fault"), (1, "input over voltage"), (3, "dc disconnect"), (5, "cabinet open"), (6, "manual shutdown"), (7, "over temp"), (12, "blown fuse"), (13, "under temp"), (14, "memory loss"), (15, "arc detection"), (20, "test failed"), (21, "input under voltage"), (22, "input over current")]),
]);

static METER: &[Row] = &[
    row("power", 18, Kind::Int16, 22, "W", &[]),
    row("power_l1", 19, Kind::Int16, 22, "W", &[]),
    row("power_l2", 20, Kind::Int16, 22, "W", &[]),
    row("power_l3", 21, Kind::Int16, 22, "W", &[]),
    row("current", 2, Kind::Int16, 6, "A", &[]),
    row("current_l1", 3, Kind::Int16, 6, "A", &[]),
    row("current_l2", 4, Kind::Int16, 6, "A", &[]),
    row("current_l3", 5, Kind::Int16, 6, "A", &[]),
    row("voltage", 7, Kind::Int16, 15, "V", &[]),
    row("voltage_l1", 8, Kind::Int16, 15, "V", &[]),
    row("voltage_l2", 9, Kind::Int16, 15, "V", &[]),
    row("voltage_l3", 10, Kind::Int16, 15, "V", &[]),
    row("voltage_ll", 11, Kind::Int16, 15, "V", &[]),
    row("frequency", 16, Kind::Int16, 17, "Hz", &[]),
    row("apparent_power", 23, Kind::Int16, 27, "VA", &[]),
    row("apparent_power_l1", 24, Kind::Int16, 27, "VA", &[]),
    row("apparent_power_l2", 25, Kind::Int16, 27, "VA", &[]),
    row("apparent_power_l3", 26, Kind::Int16, 27, "VA", &[]),
    row("reactive_power", 28, Kind::Int16, 32, "var", &[]),
    row("reactive_power_l1", 29, Kind::Int16, 32, "var", &[]),
    row("reactive_power_l2", 30, Kind::Int16, 32, "var", &[]),
    row("reactive_power_l3", 31, Kind::Int16, 32, "var", &[]),
    row("power_factor", 33, Kind::Int16, 37, "%", &[]),
    row("power_factor_l1", 34, Kind::Int16, 37, "%", &[]),
    row("power_factor_l2", 35, Kind::Int16, 37, "%", &[]),
    row("power_factor_l3", 36, Kind::Int16, 37, "%", &[]),
    row("energy_export", 38, Kind::Acc32, 54, "Wh", &[]),
    row("energy_export_l1", 40, Kind::Acc32, 54, "Wh", &[]),
    row("energy_export_l2", 42, Kind::Acc32, 54, "Wh", &[]),
    row("energy_export_l3", 44, Kind::Acc32, 54, "Wh", &[]),
    row("energy_import", 46, Kind::Acc32, 54, "Wh", &[]),
    row("energy_import_l1", 48, Kind::Acc32, 54, "Wh", &[]),
    row("energy_import_l2", 50, Kind::Acc32, 54, "Wh", &[]),
    row("energy_import_l3", 52, Kind::Acc32, 54, "Wh", &[]),
    row("events", 105, Kind::Bits32, 0, "", &[(2, "power failure"), (3, "under voltage"), (4, "low pf"), (5, "over current"), (6, "over voltage"), (7, "missing sensor"), (16, "oem01"), (17, "oem02"), (18, "oem03"), (19, "oem04"), (20, "oem05"), (21, "oem06"), (22, "oem07"), (23, "oem08"), (24, "oem09"), (25, "oem10"), (26, "oem11"), (27, "oem12"), (28, "oem13"), (29, "oem14"), (30, "oem15")]),
    row("voltage_l1_l2", 12, Kind::Int16, 15, "V", &[]),
    row("voltage_l2_l3", 13, Kind::Int16, 15, "V", &[]),
    row("voltage_l3_l1", 14, Kind::Int16, 15, "V", &[]),
];

static METER_FLOAT: &[Row] = &[
    row("power", 28, Kind::Float32, 0, "W", &[]),
    row("power_l1", 30, Kind::Float32, 0, "W", &[]),
    row("power_l2", 32, Kind::Float32, 0, "W", &[]),
    row("power_l3", 34, Kind::Float32, 0, "W", &[]),
    row("current", 2, Kind::Float32, 0, "A", &[]),
    row("current_l1", 4, Kind::Float32, 0, "A", &[]),
    row("current_l2", 6, Kind::Float32, 0, "A", &[]),
    row("current_l3", 8, Kind::Float32, 0, "A", &[]),
    row("voltage", 10, Kind::Float32, 0, "V", &[]),
    row("voltage_l1", 12, Kind::Float32, 0, "V", &[]),
    row("voltage_l2", 14, Kind::Float32, 0, "V", &[]),
    row("voltage_l3", 16, Kind::Float32, 0, "V", &[]),
    row("voltage_ll", 18, Kind::Float32, 0, "V", &[]),
    row("frequency", 26, Kind::Float32, 0, "Hz", &[]),
    row("apparent_power", 36, Kind::Float32, 0, "VA", &[]),
    row("apparent_power_l1", 38, Kind::Float32, 0, "VA", &[]),
    row("apparent_power_l2", 40, Kind::Float32, 0, "VA", &[]),
    row("apparent_power_l3", 42, Kind::Float32, 0, "VA", &[]),
    row("reactive_power", 44, Kind::Float32, 0, "var", &[]),
    row("reactive_power_l1", 46, Kind::Float32, 0, "var", &[]),
    row("reactive_power_l2", 48, Kind::Float32, 0, "var", &[]),
    row("reactive_power_l3", 50, Kind::Float32, 0, "var", &[]),
    row("power_factor", 52, Kind::Float32, 0, "", &[]),
    row("power_factor_l1", 54, Kind::Float32, 0, "", &[]),
    row("power_factor_l2", 56, Kind::Float32, 0, "", &[]),
    row("power_factor_l3", 58, Kind::Float32, 0, "", &[]),
    row("energy_export", 60, Kind::Float32, 0, "Wh", &[]),
    row("energy_export_l1", 62, Kind::Float32, 0, "Wh", &[]),
    row("energy_export_l2", 64, Kind::Float32, 0, "Wh", &[]),
    row("energy_export_l3", 66, Kind::Float32, 0, "Wh", &[]),
    row("energy_import", 68, Kind::Float32, 0, "Wh", &[]),
    row("energy_import_l1", 70, Kind::Float32, 0, "Wh", &[]),
    row("energy_import_l2", 72, Kind::Float32, 0, "Wh", &[]),
    row("energy_import_l3", 74, Kind::Float32, 0, "Wh", &[]),
    row("events", 124, Kind::Bits32, 0, "", &[(2, "power failure"), (3, "under voltage"), (4, "low pf"), (5, "over current"), (6, "over voltage"), (7, "missing sensor"), (16, "oem01"), (17, "oem02"), (18, "oem03"), (19, "oem04"), (20, "oem05"), (21, "oem06"), (22, "oem07"), (23, "oem08"), (24, "oem09"), (25, "oem10"), (26, "oem11"), (27, "oem12"), (28, "oem13"), (29, "oem14"), (30, "oem15")]),
    row("voltage_l1_l2", 20, Kind::Float32, 0, "V", &[]),
    row("voltage_l2_l3", 22, Kind::Float32, 0, "V", &[]),
    row("voltage_l3_l1", 24, Kind::Float32, 0, "V", &[]),
];

static DER: &[Row] = &[
    row("power", 10, Kind::Int16, 116, "W", &[]),
    row("apparent_power", 11, Kind::Int16, 118, "VA", &[]),
    row("reactive_power", 12, Kind::Int16, 119, "var", &[]),
    row("power_factor", 13, Kind::Int16, 117, "", &[]),
    row("current", 14, Kind::Int16, 113, "A", &[]),
    row("voltage_ll", 15, Kind::Uint16, 114, "V", &[]),
    row("voltage", 16, Kind::Uint16, 114, "V", &[]),
    row("frequency", 17, Kind::Uint32, 115, "Hz", &[]),
    row("energy_export", 19, Kind::Uint64, 120, "Wh", &[]),
    row("energy_import", 23, Kind::Uint64, 120, "Wh", &[]),
    row("temperature_ambient", 35, Kind::Int16, 122, "°C", &[]),
    row("temperature", 36, Kind::Int16, 122, "°C", &[]),
    row("temperature_sink", 37, Kind::Int16, 122, "°C", &[]),
    row("temperature_transformer", 38, Kind::Int16, 122, "°C", &[]),
    row("temperature_other", 40, Kind::Int16, 122, "°C", &[]),
    row("wiring", 2, Kind::Enum16, 0, "", &[(0, "single phase"), (1, "split phase"), (2, "three phase")]),
    row("operation", 3, Kind::Enum16, 0, "", &[(0, "off"), (1, "on")]),
    row("state", 4, Kind::Enum16, 0, "", &[(0, "off"), (1, "sleeping"), (2, "starting"), (3, "running"), (4, "throttled"), (5, "shutting down"), (6, "fault"), (7, "standby")]),
    row("grid_connection", 5, Kind::Enum16, 0, "", &[(0, "disconnected"), (1, "connected")]),
    row("events", 6, Kind::Bits32, 0, "", &[(0, "ground fault"), (1, "dc over volt"), (2, "ac disconnect"), (3, "dc disconnect"), (4, "grid disconnect"), (5, "cabinet open"), (6, "manual shutdown"), (7, "over temp"), (8, "over frequency"), (9, "under frequency"), (10, "ac over volt"), (11, "ac under volt"), (12, "blown string fuse"), (13, "under temp"), (14, "memory loss"), (15, "hw test failure"), (16, "manufacturer alrm")]),
    row("throttling", 110, Kind::Uint16, 0, "%", &[]),
    row("voltage_l1_l2", 46, Kind::Uint16, 114, "V", &[]),
    row("voltage_l2_l3", 69, Kind::Uint16, 114, "V", &[]),
    row("voltage_l3_l1", 92, Kind::Uint16, 114, "V", &[]),
    row("power_l1", 41, Kind::Int16, 116, "W", &[]),
    row("apparent_power_l1", 42, Kind::Int16, 118, "VA", &[]),
    row("reactive_power_l1", 43, Kind::Int16, 119, "var", &[]),
    row("power_factor_l1", 44, Kind::Int16, 117, "", &[]),
    row("current_l1", 45, Kind::Int16, 113, "A", &[]),
    row("voltage_l1", 47, Kind::Uint16, 114, "V", &[]),
    row("energy_export_l1", 48, Kind::Uint64, 120, "Wh", &[]),
    row("energy_import_l1", 52, Kind::Uint64, 120, "Wh", &[]),
    row("power_l2", 64, Kind::Int16, 116, "W", &[]),
    row("apparent_power_l2", 65, Kind::Int16, 118, "VA", &[]),
    row("reactive_power_l2", 66, Kind::Int16, 119, "var", &[]),
    row("power_factor_l2", 67, Kind::Int16, 117, "", &[]),
    row("current_l2", 68, Kind::Int16, 113, "A", &[]),
    row("voltage_l2", 70, Kind::Uint16, 114, "V", &[]),
    row("energy_export_l2", 71, Kind::Uint64, 120, "Wh", &[]),
    row("energy_import_l2", 75, Kind::Uint64, 120, "Wh", &[]),
    row("power_l3", 87, Kind::Int16, 116, "W", &[]),
    row("apparent_power_l3", 88, Kind::Int16, 118, "VA", &[]),
    row("reactive_power_l3", 89, Kind::Int16, 119, "var", &[]),
    row("power_factor_l3", 90, Kind::Int16, 117, "", &[]),
    row("current_l3", 91, Kind::Int16, 113, "A", &[]),
    row("voltage_l3", 93, Kind::Uint16, 114, "V", &[]),
    row("energy_export_l3", 94, Kind::Uint64, 120, "Wh", &[]),
    row("energy_import_l3", 98, Kind::Uint64, 120, "Wh", &[]),
];

static DER_CAPACITY: &[Row] = &[
    row("power_rating", 2, Kind::Uint16, 45, "W", &[]),
    row("apparent_power_rating", 7, Kind::Uint16, 47, "VA", &[]),
    row("current_rating", 17, Kind::Uint16, 50, "A", &[]),
    row("voltage_rating", 14, Kind::Uint16, 49, "V", &[]),
    row("charge_power_rating", 10, Kind::Uint16, 45, "W", &[]),
    row("discharge_power_rating", 11, Kind::Uint16, 45, "W", &[]),
];

static DER_STORAGE: &[Row] = &[
    row("energy_rating", 2, Kind::Uint16, 7, "Wh", &[]),
    row("energy_available", 3, Kind::Uint16, 7, "Wh", &[]),
    row("soc", 4, Kind::Uint16, 8, "%", &[]),
    row("soh", 5, Kind::Uint16, 8, "%", &[]),
    row("storage_state", 6, Kind::Enum16, 0, "", &[(0, "ok"), (1, "warning"), (2, "error")]),
];

static BATTERY: &[Row] = &[
    row("charge_rating", 2, Kind::Uint16, 52, "Ah", &[]),
    row("energy_rating", 3, Kind::Uint16, 53, "Wh", &[]),
    row("charge_power_rating", 4, Kind::Uint16, 54, "W", &[]),
    row("discharge_power_rating", 5, Kind::Uint16, 54, "W", &[]),
    row("soc", 11, Kind::Uint16, 56, "%", &[]),
    row("depth_of_discharge", 12, Kind::Uint16, 57, "%", &[]),
    row("soh", 13, Kind::Uint16, 58, "%", &[]),
    row("cycles", 14, Kind::Uint32, 0, "", &[]),
    row("charge_state", 16, Kind::Enum16, 0, "", &[(1, "off"), (2, "empty"), (3, "discharging"), (4, "charging"), (5, "full"), (6, "holding"), (7, "testing")]),
    row("state", 22, Kind::Enum16, 0, "", &[(1, "disconnected"), (2, "initializing"), (3, "connected"), (4, "standby"), (5, "soc protection"), (6, "suspending"), (99, "fault")]),
    row("battery_type", 21, Kind::Enum16, 0, "", &[(0, "not applicable unknown"), (1, "lead acid"), (2, "nickel metal hydrate"), (3, "nickel cadmium"), (4, "lithium ion"), (5, "carbon zinc"), (6, "zinc chloride"), (7, "alkaline"), (8, "rechargeable alkaline"), (9, "sodium sulfur"), (10, "flow"), (99, "other")]),
    row("events", 26, Kind::Bits32, 0, "", &[(0, "communication error"), (1, "over temp alarm"), (2, "over temp warning"), (3, "under temp alarm"), (4, "under temp warning"), (5, "over charge current alarm"), (6, "over charge current warning"), (7, "over discharge current alarm"), (8, "over discharge current warning"), (9, "over volt alarm"), (10, "over volt warning"), (11, "under volt alarm"), (12, "under volt warning"), (13, "under soc min alarm"), (14, "under soc min warning"), (15, "over soc max alarm"), (16, "over soc max warning"), (17, "voltage imbalance warning"), (18, "temperature imbalance alarm"), (19, "temperature imbalance warning"), (20, "contactor error"), (21, "fan error"), (22, "ground fault"), (23, "open door error"), (24, "current imbalance warning"), (25, "other alarm"), (26, "other warning"), (28, "configuration alarm"), (29, "configuration warning")]),
    row("voltage", 34, Kind::Uint16, 59, "V", &[]),
    row("cell_voltage_max", 37, Kind::Uint16, 60, "V", &[]),
    row("cell_voltage_min", 40, Kind::Uint16, 60, "V", &[]),
    row("cell_voltage", 43, Kind::Uint16, 60, "V", &[]),
    row("current", 44, Kind::Int16, 61, "A", &[]),
    row("charge_current_max", 45, Kind::Uint16, 62, "A", &[]),
    row("discharge_current_max", 46, Kind::Uint16, 62, "A", &[]),
    row("power", 47, Kind::Int16, 63, "W", &[]),
];

static LITHIUM: &[Row] = &[
    row("strings", 2, Kind::Uint16, 0, "", &[]),
    row("strings_connected", 3, Kind::Uint16, 0, "", &[]),
    row("temperature_max", 4, Kind::Int16, 23, "°C", &[]),
    row("temperature_min", 7, Kind::Int16, 23, "°C", &[]),
    row("temperature", 10, Kind::Int16, 23, "°C", &[]),
    row("string_voltage_max", 11, Kind::Uint16, 27, "V", &[]),
    row("string_voltage_min", 13, Kind::Uint16, 27, "V", &[]),
    row("string_voltage", 15, Kind::Uint16, 27, "V", &[]),
    row("string_current_max", 16, Kind::Int16, 24, "A", &[]),
    row("string_current_min", 18, Kind::Int16, 24, "A", &[]),
    row("string_current", 20, Kind::Int16, 24, "A", &[]),
];

static LITHIUM_REPEATED: (u16, u16, &[Row]) = (28, 32, &[
    row("status", 29, Kind::Bits32, 0, "", &[(0, "string enabled"), (1, "contactor status")]),
    row("soc", 32, Kind::Uint16, 26, "%", &[]),
    row("soh", 33, Kind::Uint16, 25, "%", &[]),
    row("current", 34, Kind::Int16, 24, "A", &[]),
    row("temperature", 44, Kind::Int16, 23, "°C", &[]),
]);
