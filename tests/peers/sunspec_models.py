#!/usr/bin/env python3
"""Prints protocols/src/modbus/sunspec/layouts.rs from the models that pysunspec2 carries (sunspec/models, Apache-2.0):

    tests/.venv/bin/python tests/peers/sunspec_models.py > protocols/src/modbus/sunspec/layouts.rs

What stands below is ours: which models and points are taken, and what they are called here. Where each stands and what
it is made of is the models'. A test holds the committed file to this output.
"""
import json
import os
import re

import sunspec2

MODELS = os.path.join(os.path.dirname(sunspec2.__file__), "models", "json")


def phases(table):
    """`{}` in a name stands for the phase: A, B, C there, l1, l2, l3 here."""
    named = {}
    for theirs, ours in table.items():
        if "{}" in theirs:
            for phase, line in (("A", "l1"), ("B", "l2"), ("C", "l3")):
                named[theirs.replace("{}", phase)] = ours.replace("{}", line)
        else:
            named[theirs] = ours
    return named


BETWEEN = {"AB": "voltage_l1_l2", "BC": "voltage_l2_l3", "CA": "voltage_l3_l1"}
COMMON = {"Mn": "manufacturer", "Md": "model", "Opt": "options", "Vr": "version", "SN": "serial"}
INVERTER = phases({
    "W": "power", "A": "current", "Aph{}": "current_{}", "PhVph{}": "voltage_{}", "Hz": "frequency",
    "VA": "apparent_power", "VAr": "reactive_power", "PF": "power_factor", "WH": "energy_total",
    "DCA": "dc_current", "DCV": "dc_voltage", "DCW": "dc_power", "TmpCab": "temperature",
    "TmpSnk": "temperature_sink", "TmpTrns": "temperature_transformer", "TmpOt": "temperature_other",
    "St": "state", "StVnd": "state_vendor", "Evt1": "events",
}) | {f"PPVph{pair}": name for pair, name in BETWEEN.items()}
METER = phases({
    "W": "power", "Wph{}": "power_{}", "A": "current", "Aph{}": "current_{}", "PhV": "voltage",
    "PhVph{}": "voltage_{}", "PPV": "voltage_ll", "Hz": "frequency", "VA": "apparent_power",
    "VAph{}": "apparent_power_{}", "VAR": "reactive_power", "VARph{}": "reactive_power_{}", "PF": "power_factor",
    "PFph{}": "power_factor_{}", "TotWhExp": "energy_export", "TotWhExpPh{}": "energy_export_{}",
    "TotWhImp": "energy_import", "TotWhImpPh{}": "energy_import_{}", "Evt": "events",
}) | {f"{start}{pair}": name for pair, name in BETWEEN.items() for start in ("PhVph", "PPVph")}
NAMEPLATE = {
    "DERTyp": "der_type", "WRtg": "power_rating", "VARtg": "apparent_power_rating", "ARtg": "current_rating",
    "WHRtg": "energy_rating", "AhrRtg": "charge_rating", "MaxChaRte": "charge_power_rating",
    "MaxDisChaRte": "discharge_power_rating",
}
STORAGE = {
    "WChaMax": "charge_power_max", "StorCtl_Mod": "storage_control", "MinRsvPct": "reserve_min", "ChaState": "soc",
    "StorAval": "storage_available", "InBatV": "battery_voltage", "ChaSt": "charge_state",
    "OutWRte": "discharge_rate", "InWRte": "charge_rate", "ChaGriSet": "charge_source",
}
MPPT = {"Evt": "mppt_events"}
MODULE = {
    "IDStr": "name", "DCA": "current", "DCV": "voltage", "DCW": "power", "DCWH": "energy_total",
    "Tmp": "temperature", "DCSt": "state", "DCEvt": "events",
}
DER = {
    "W": "power", "VA": "apparent_power", "Var": "reactive_power", "PF": "power_factor", "A": "current",
    "LLV": "voltage_ll", "LNV": "voltage", "Hz": "frequency", "TotWhInj": "energy_export", "TotWhAbs": "energy_import",
    "TmpAmb": "temperature_ambient", "TmpCab": "temperature", "TmpSnk": "temperature_sink",
    "TmpTrns": "temperature_transformer", "TmpOt": "temperature_other", "ACType": "wiring", "St": "operation",
    "InvSt": "state", "ConnSt": "grid_connection", "Alrm": "events", "ThrotPct": "throttling",
    "VL1L2": "voltage_l1_l2", "VL2L3": "voltage_l2_l3", "VL3L1": "voltage_l3_l1",
} | {f"{theirs}L{n}": f"{ours}_l{n}" for n in (1, 2, 3) for theirs, ours in (
    ("W", "power"), ("VA", "apparent_power"), ("Var", "reactive_power"), ("PF", "power_factor"), ("A", "current"),
    ("V", "voltage"), ("TotWhInj", "energy_export"), ("TotWhAbs", "energy_import"))}
CAPACITY = {
    "WMaxRtg": "power_rating", "VAMaxRtg": "apparent_power_rating", "AMaxRtg": "current_rating",
    "VNomRtg": "voltage_rating", "WChaRteMaxRtg": "charge_power_rating", "WDisChaRteMaxRtg": "discharge_power_rating",
}
DER_STORAGE = {
    "WHRtg": "energy_rating", "WHAvail": "energy_available", "SoC": "soc", "SoH": "soh", "Sta": "storage_state",
}
BATTERY = {
    "AHRtg": "charge_rating", "WHRtg": "energy_rating", "WChaRteMax": "charge_power_rating",
    "WDisChaRteMax": "discharge_power_rating", "SoC": "soc", "DoD": "depth_of_discharge", "SoH": "soh",
    "NCyc": "cycles", "ChaSt": "charge_state", "State": "state", "Typ": "battery_type", "Evt1": "events",
    "V": "voltage", "CellVMax": "cell_voltage_max", "CellVMin": "cell_voltage_min", "CellVAvg": "cell_voltage",
    "A": "current", "AChaMax": "charge_current_max", "ADisChaMax": "discharge_current_max", "W": "power",
}
LITHIUM = {
    "NStr": "strings", "NStrCon": "strings_connected", "ModTmpMax": "temperature_max", "ModTmpMin": "temperature_min",
    "ModTmpAvg": "temperature", "StrVMax": "string_voltage_max", "StrVMin": "string_voltage_min",
    "StrVAvg": "string_voltage", "StrAMax": "string_current_max", "StrAMin": "string_current_min",
    "StrAAvg": "string_current",
}
STRING = {"StrSt": "status", "StrSoC": "soc", "StrSoH": "soh", "StrA": "current", "StrModTmpAvg": "temperature"}

# Constant, models of one layout, class, points, word for what repeats, its points.
TAKEN = [
    ("COMMON", [1], None, COMMON, "", {}),
    ("INVERTER", [101, 102, 103], "Inverter", INVERTER, "", {}),
    ("INVERTER_FLOAT", [111, 112, 113], "Inverter", INVERTER, "", {}),
    ("NAMEPLATE", [120], None, NAMEPLATE, "", {}),
    ("STORAGE", [124], None, STORAGE, "", {}),
    ("MPPT", [160], "Inverter", MPPT, "mppt", MODULE),
    ("METER", [201, 202, 203, 204], "Meter", METER, "", {}),
    ("METER_FLOAT", [211, 212, 213, 214], "Meter", METER, "", {}),
    ("DER", [701], "Inverter", DER, "", {}),
    ("DER_CAPACITY", [702], None, CAPACITY, "", {}),
    ("DER_STORAGE", [713], "Battery", DER_STORAGE, "", {}),
    ("BATTERY", [802], "Battery", BATTERY, "", {}),
    ("LITHIUM", [803], "Battery", LITHIUM, "string", STRING),
]
KINDS = {
    "int16": "Int16", "uint16": "Uint16", "count": "Uint16", "acc32": "Acc32", "uint32": "Uint32",
    "uint64": "Uint64", "float32": "Float32", "enum16": "Enum16", "bitfield16": "Bits16",
    "bitfield32": "Bits32",
}
UNITS = {"C": "°C", "Pct": "%", "PF": "", "Var": "var", "WH": "Wh", "AH": "Ah", "%WHRtg": "%", "% WChaMax": "%",
         "% AhrRtg": "%", "% WDisChaMax": "%", " % WChaMax": "%", None: ""}


def places(group, offset):
    """Each point with its offset, and each group with its own."""
    points = []
    for point in group["points"]:
        points.append((offset, point))
        offset += point["size"]
    return points, offset, group.get("groups", [])


def row(offset, point, name, factors):
    kind = KINDS.get(point["type"]) or f"Text({point['size']})"
    assert point["type"] in KINDS or point["type"] == "string", point
    factor = point.get("sf")
    factor = factors[factor] if isinstance(factor, str) else 0
    unit = UNITS.get(point.get("units"), (point.get("units") or "").strip())
    word = lambda text: re.sub(r"^M_EVENT_", "", text).replace("_", " ").lower()
    states = ", ".join(f'({symbol["value"]}, "{word(symbol["name"])}")' for symbol in point.get("symbols", [])
                       if not word(symbol["name"]).startswith("reserved"))
    return f'    row("{name}", {offset}, Kind::{kind}, {factor}, "{unit}", &[{states}]),'


def table(model, names, repeated):
    with open(os.path.join(MODELS, f"model_{model}.json"), encoding="utf-8") as file:
        group = json.load(file)["group"]
    points, end, groups = places(group, 0)
    factors = {point["name"]: offset for offset, point in points if point["type"] == "sunssf"}
    rows = {point["name"]: row(offset, point, names[point["name"]], factors)
            for offset, point in points if point["name"] in names}
    assert set(names) - set(rows) <= BETWEEN_EITHER, (model, set(names) - set(rows))
    # The order here is the order of the tables above: what people look for first.
    first = [rows[name] for name in names if name in rows]
    inner = []
    begin, stride = end, 0
    if repeated:
        points, stop, _ = places(groups[0], end)
        stride = stop - begin
        rows = {point["name"]: row(offset, point, repeated[point["name"]], factors)
                for offset, point in points if point["name"] in repeated}
        inner = [rows[name] for name in repeated]
    return first, (begin, stride, inner)


# A meter names its voltages between lines in one of two ways, by model.
BETWEEN_EITHER = {f"{start}{pair}" for start in ("PhVph", "PPVph") for pair in BETWEEN}

if __name__ == "__main__":
    print("""//! Which registers of which model mean what: facts from github.com/sunspec/models (Apache-2.0).
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
""")
    print("static MODELS: &[Model] = &[")
    for constant, numbers, sort, _, word, repeated in TAKEN:
        sort = f"Some(Class::{sort})" if sort else "None"
        again = f"{constant}_REPEATED" if repeated else "(0, 0, &[])"
        print(f'    Model {{ numbers: &{numbers}, class: {sort}, rows: {constant}, word: "{word}", repeated: {again} }},')
    print("];")
    for constant, numbers, _, names, _, repeated in TAKEN:
        tables = [table(number, names, repeated) for number in numbers]
        strip = lambda rows: [re.sub(r", &\[.*", "", line) for line in rows]
        assert all(strip(other[0]) == strip(tables[0][0]) for other in tables), constant
        first, (begin, stride, inner) = tables[0]
        print(f"\nstatic {constant}: &[Row] = &[", *first, "];", sep="\n")
        if repeated:
            print(f"\nstatic {constant}_REPEATED: (u16, u16, &[Row]) = ({begin}, {stride}, &[", *inner, "]);", sep="\n")
