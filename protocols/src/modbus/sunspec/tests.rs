use alloc::vec;

use super::super::identify::tests::{Device, asked};
use super::*;

/// A chain at `base`: numbers and lengths as given, each model's registers after them.
fn chain(base: u16, models: &[(u16, u16)]) -> Device {
    let mut device = Device::default();
    device.hold(base, &[0x5375, 0x6E53]);
    let mut at = base + 2;
    for (model, length) in models {
        device.hold(at, &[*model, *length]);
        device.hold(at + 2, &vec![0; usize::from(*length)]);
        at += 2 + length;
    }
    device.hold(at, &[0xFFFF, 0]);
    device
}

fn walked(device: &Device) -> Option<Found> {
    let mut walk = Walk::new();
    let mut asked = 0;
    while let Some(request) = walk.request() {
        asked += 1;
        assert!(asked <= Walk::MOST_REQUESTS);
        walk.handle(device.answer(&request).as_ref());
    }
    walk.finish()
}

fn models(device: &Device) -> Vec<u16> {
    walked(device).map(|found| found.layout.blocks.iter().map(|block| block.model).collect()).unwrap_or_default()
}

#[test]
fn a_chain_is_found_at_each_base_and_with_either_length_of_the_common_model() {
    for base in [40_000, 0, 50_000] {
        for common in [65, 66] {
            assert_eq!(models(&chain(base, &[(1, common), (103, 50), (160, 48)])), [1, 103, 160]);
        }
    }
    assert_eq!(walked(&Device::default()), None);
}

#[test]
fn a_common_model_that_lies_about_its_length_does_not_hide_the_rest() {
    for true_length in [65, 66] {
        let mut device = chain(40_000, &[(1, true_length), (103, 50)]);
        device.hold(40_003, &[15]);
        assert_eq!(models(&device), [1, 103]);
    }
}

#[test]
fn a_chain_may_end_without_a_length_or_break_off() {
    let mut device = chain(40_000, &[(1, 66), (103, 50)]);
    device.take(40_123);
    assert_eq!(models(&device), [1, 103]);
    device.take(40_122);
    let found = walked(&device).unwrap();
    assert_eq!((found.layout.blocks.len(), found.remarks.len()), (2, 1));
}

#[test]
fn lengths_that_lead_nowhere_end_the_walk() {
    for (model, length) in [(0, 10), (103, 0), (103, 0xFFF0)] {
        let mut device = chain(40_000, &[(1, 66)]);
        device.hold(40_070, &[model, length]);
        assert_eq!(models(&device), [1]);
    }
    let many: Vec<(u16, u16)> = core::iter::once((1, 66)).chain((0..100).map(|_| (123, 1))).collect();
    assert_eq!(models(&chain(0, &many)).len(), MOST_BLOCKS);
}

#[test]
fn a_second_common_model_begins_a_second_device() {
    let found = walked(&chain(40_000, &[(1, 65), (103, 50), (1, 65), (203, 105)])).unwrap();
    let points = found.layout.points();
    assert_eq!(found.layout.class(), Class::Inverter);
    for name in ["power", "device2_power", "device2_energy_import"] {
        assert!(points.iter().any(|point| *point.name == *name), "{name}");
    }
}

#[test]
fn values_are_scaled_and_what_is_not_implemented_is_none() {
    let mut device = chain(40_000, &[(1, 66), (103, 50)]);
    let at = 40_070;
    device.hold(at + 14, &[4_321_u16, 0xFFFF]); // W, W_SF = -1
    device.hold(at + 16, &[5_001, 0xFFFE]); // Hz, Hz_SF = -2
    device.hold(at + 24, &[0, 0, 0]); // WH: an accumulator of 0
    device.hold(at + 10, &[2_301, 0xFFFF, 2_299, 0xFFFF]); // voltages, V_SF = -1
    device.hold(at + 33, &[0x8000, 250, 0, 0, 0xFFFF]); // temperatures
    device.hold(at + 2, &[100, 1, 2, 3, 0x8000]); // currents, whose scale factor is not implemented
    device.hold(at + 38, &[4]); // MPPT
    device.hold(at + 40, &[0, 0b1000_0010]); // over-temperature and over-voltage
    let readings = asked(
        &device,
        &[
            "power",
            "frequency",
            "energy_total",
            "voltage_l1",
            "voltage_l2",
            "temperature",
            "temperature_sink",
            "current",
            "state",
            "events",
        ],
    );
    let shown: Vec<_> =
        readings.iter().map(|reading| reading.value.as_ref().map(alloc::string::ToString::to_string).ok()).collect();
    let wanted = [
        Some("432.1"),
        Some("50.01"),
        None,
        Some("230.1"),
        None,
        None,
        Some("25"),
        None,
        Some("mppt"),
        Some("dc over volt, over temp"),
    ];
    assert_eq!(shown, wanted.map(|text| text.map(alloc::string::ToString::to_string)));
}

#[test]
fn what_repeats_is_counted_by_the_length_of_the_model() {
    let mut device = chain(40_000, &[(1, 66), (103, 50), (160, 48)]);
    let at = 40_122;
    device.hold(at + 2, &[0xFFFF, 0, 0xFFFE]);
    device.hold(at + 21 + 20, &[12_345]);
    let reading = &asked(&device, &["mppt2_power"])[0];
    assert_eq!(reading.value, Ok(crate::service::Value::Number(123.45)));
    assert!(asked(&device, &["mppt3_power"])[0].value.is_err());
}

#[test]
fn reads_begin_and_end_where_points_do() {
    let device = chain(40_000, &[(1, 66), (103, 50), (160, 48), (203, 105), (802, 62)]);
    let identified = super::super::identify::tests::identified(&device);
    let points = identified.points();
    let starts: Vec<u32> =
        points.iter().flat_map(|point| [Some(point.address), point.exponent]).flatten().map(u32::from).collect();
    let ends: Vec<u32> = points
        .iter()
        .flat_map(|point| [Some(point.end()), point.exponent.map(|at| u32::from(at) + 1)])
        .flatten()
        .collect();
    for request in super::super::plan::plan(&identified, &[]).requests() {
        let super::super::request::Request::Read(_, span) = request else { panic!("{request:?}") };
        assert!(
            starts.contains(&u32::from(span.start()))
                && ends.contains(&(u32::from(span.start()) + u32::from(span.count()))),
            "{request:?}"
        );
    }
}

#[test]
fn what_stands_beside_an_inverter_does_not_take_its_names() {
    let layout = walked(&chain(40_000, &[(1, 66), (103, 50), (203, 105), (802, 62)])).unwrap().layout;
    let points = layout.points();
    let named = |name: &str| points.iter().find(|point| *point.name == *name).map(|point| point.address);
    assert_eq!(
        [named("power"), named("meter_power"), named("battery_power")],
        [Some(40_084), Some(40_140), Some(40_276)]
    );
    assert_eq!(named("power_l1"), None);
    // A meter by itself has the plain names.
    let meter = walked(&chain(40_000, &[(1, 66), (203, 105)])).unwrap().layout;
    assert!(meter.points().iter().any(|point| *point.name == *"power_l1"));
}
