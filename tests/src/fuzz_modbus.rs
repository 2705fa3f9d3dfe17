//! Anything may stand in a device's registers: whatever it says, an inquiry ends within its bound, and a reading is a
//! value that fits its point or the reason why there is none.

use std::sync::Arc;

use wayside_protocols::modbus::identify::{Heard, Inquiry};
use wayside_protocols::modbus::plan::plan;
use wayside_protocols::modbus::profile::{
    Class, Expected, Format, Limits, Meaning, Order, Pattern, Point, Profile, Profiles, Register, Rules, Scale,
};
use wayside_protocols::modbus::reading::value;
use wayside_protocols::modbus::reply::{Exception, Reply};
use wayside_protocols::modbus::request::{Request, Table};
use wayside_protocols::modbus::sunspec::Walk;
use wayside_protocols::service::Value;
use wayside_protocols::text::escaped;

/// Replies to an inquiry: before each its length, 255 for none.
pub fn identification(bytes: &[u8]) {
    let mut inquiry = Inquiry::new(profiles());
    let mut rest = bytes;
    let mut next = || {
        let (length, after) = rest.split_first().map_or((255, rest), |(length, after)| (*length, after));
        let (pdu, after) = after.split_at(usize::from(length).min(after.len()));
        rest = if length == 255 { rest.get(1..).unwrap_or_default() } else { after };
        (length < 255).then_some(pdu)
    };
    let mut asked = 0;
    while let Some(request) = inquiry.request() {
        asked += 1;
        assert!(asked <= Inquiry::MOST_REQUESTS);
        let reply = next().and_then(|pdu| Reply::read(&request, pdu).ok());
        inquiry.handle(reply.map_or(Heard::Silent, Heard::Reply));
    }
    let identified = inquiry.finish();
    assert!((0.0..=1.0).contains(&identified.confidence));
    let identity = &identified.identity;
    for text in [&identity.manufacturer, &identity.model, &identity.version, &identity.serial, &identity.name] {
        assert!(text.as_ref().is_none_or(|text| text.len() <= 64 && escaped(text) == **text), "{text:?}");
    }
    for line in &identified.explain {
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    let _ = identified.proof();
}

/// A device whose holding registers are these bytes over and over, from 40000 on with the mark of SunSpec before them.
pub fn sunspec(bytes: &[u8]) {
    let word = |at: u16| {
        let place = 2 * usize::from(at.wrapping_sub(40_002));
        match at {
            40_000 => 0x5375,
            40_001 => 0x6E53,
            _ => u16::from_be_bytes([
                bytes.get(place).copied().unwrap_or(0xFF),
                bytes.get(place + 1).copied().unwrap_or(0xFF),
            ]),
        }
    };
    let answer = |request: &Request| match request {
        Request::Read(Table::HoldingRegisters, span) => {
            Some(Reply::Registers((0..span.count()).map(|at| word(span.start().wrapping_add(at))).collect()))
        }
        Request::Read(..) | Request::Identify(..) => None,
    };
    let mut walk = Walk::new();
    let mut asked = 0;
    while let Some(request) = walk.request() {
        asked += 1;
        assert!(asked <= Walk::MOST_REQUESTS);
        walk.handle(answer(&request).as_ref());
    }
    let mut inquiry = Inquiry::new(Arc::new(Profiles::default()));
    inquiry.handle(Heard::Reply(Reply::Exception(Exception::ILLEGAL_FUNCTION)));
    while let Some(request) = inquiry.request() {
        inquiry.handle(answer(&request).map_or(Heard::Silent, Heard::Reply));
    }
    let identified = inquiry.finish();
    let plan = plan(&identified, &[]);
    let replies: Vec<_> = plan.requests().iter().map(answer).collect();
    for reading in plan.readings(&replies) {
        if let Ok(Value::Number(number)) = reading.value {
            assert!(number.is_finite(), "{} is {number}", reading.point);
        }
    }
    if let Some(reply) = answer(&identified.proof()) {
        assert!(identified.sunspec.is_none() || identified.still(&reply));
    }
}

/// One point: format, order, exponent and meaning in four bytes, then its registers.
pub fn reading(bytes: &[u8]) {
    let Some((&[format, order, exponent, kind], words)) = bytes.split_first_chunk() else { return };
    let width = u16::from(kind >> 2) + 1;
    let formats = [
        Format::U16,
        Format::I16,
        Format::U32,
        Format::I32,
        Format::U64,
        Format::I64,
        Format::F32,
        Format::F64,
        Format::Text(width),
        Format::Flag(kind & 15),
    ];
    let format = formats[usize::from(format) % formats.len()];
    let mut point = Point::new("p", Table::HoldingRegisters, 0, format);
    point.order = Order::ALL[usize::from(order) % 4];
    point.range = (kind & 1 == 1).then_some((-1e6, 1e6));
    point.scale = Scale::new(if kind & 2 == 2 { 0.1 } else { 10.0 });
    point.meaning = match kind & 3 {
        2 => Meaning::States(vec![(1, "on".into())]),
        3 => Meaning::Flags(vec![(0, "low".into())]),
        _ => Meaning::Number,
    };
    let words: Vec<u16> = words.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let exponent = (exponent > 0).then_some(u16::from(exponent));
    let read = value(&point, &words, exponent);
    if words.len() != usize::from(point.width()) {
        assert!(read.is_err(), "{} registers for {format:?}", words.len());
    }
    match read {
        Ok(Value::Number(number)) => {
            assert!(number.is_finite());
            assert!(point.range.is_none_or(|(low, high)| (low..=high).contains(&number)));
        }
        Ok(Value::Text(text)) => {
            // Letters of 125 registers, or the names of 64 bits.
            let most = if matches!(point.meaning, Meaning::Flags(_)) { 64 * "bit 63, ".len() } else { 250 };
            assert!(text.len() <= most && escaped(&text) == *text, "{text:?}");
        }
        Ok(Value::Flag(_)) | Err(_) => {}
    }
}

/// Two families that are told apart by registers or by name.
fn profiles() -> Arc<Profiles> {
    let volts = Register {
        point: Point { scale: Scale::new(0.1), ..Point::new("", Table::InputRegisters, 10, Format::U16) },
        expected: Expected::Within(200.0, 260.0),
        weight: 0.3,
    };
    let profile = |id: &str, code: u64| Profile {
        id: id.into(),
        manufacturer: "Acme".into(),
        models: vec![id.into()],
        class: Class::Meter,
        rules: Rules {
            manufacturer: vec![Pattern::new("Ac*")],
            model: vec![Pattern::new(id)],
            sunspec: code == 7,
            registers: vec![
                volts.clone(),
                Register {
                    point: Point::new("", Table::HoldingRegisters, 20, Format::U16),
                    expected: Expected::Bits { mask: 0xFF, any: vec![code] },
                    weight: 0.6,
                },
            ],
        },
        limits: Limits::default(),
        groups: Vec::new(),
        points: vec![Point::new("power", Table::HoldingRegisters, 1, Format::I32)],
        source: "here".into(),
        licence: "own".into(),
    };
    Arc::new([profile("one", 7), profile("two", 8)].into_iter().collect())
}
