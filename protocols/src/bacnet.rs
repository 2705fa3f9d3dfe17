//! BACnet/IP: who is there, and what it calls itself. Who-Is and ReadProperty are all that is ever asked, and nothing
//! can be written.
//!
//! Heads up: ANSI/ASHRAE 135 rules these bytes: clause 20 the encodings, annex J the frames on UDP 47808. Devices behind
//! a router are not asked: only who answers for itself is found.

mod wire;

use alloc::boxed::Box;
use alloc::vec::Vec;

use wire::Bytes;

/// The port devices listen at.
pub const PORT: u16 = 47_808;

/// What a device says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Device {
    /// The number of its device object, 0 to 4,194,302: alone in its network.
    pub instance: u32,
    /// Its maker, by the number ASHRAE gave it; where it said I-Am.
    pub vendor: Option<u32>,
    /// Name of the device object; at most 64 bytes, as all text here.
    pub name: Option<Box<str>>,
    /// Name of the maker.
    pub vendor_name: Option<Box<str>>,
    /// Name of the model.
    pub model: Option<Box<str>>,
    /// Revision of its firmware.
    pub firmware: Option<Box<str>>,
}

/// One device asked who it is: Who-Is, or, if it does not answer (some answer to everybody but the one who asks), for the
/// number of its device object; then for its names, one after the other.
#[derive(Clone, Debug)]
pub struct Talk {
    device: Option<Device>,
    step: Step,
    invoke: u8,
    brief: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    WhoIs,
    Number,
    Property(Property),
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Property {
    Name,
    VendorName,
    Model,
    Firmware,
}

impl Default for Talk {
    fn default() -> Self {
        Self::new()
    }
}

impl Talk {
    /// Nothing asked yet.
    pub fn new() -> Self {
        Self { device: None, step: Step::WhoIs, invoke: 1, brief: false }
    }

    /// The same, but it is not asked for its names: enough to see that it is still there.
    pub fn brief() -> Self {
        Self { brief: true, ..Self::new() }
    }

    /// What to ask; `None` when there is nothing left to ask.
    pub fn question(&self) -> Option<Vec<u8>> {
        let instance = self.device.as_ref().map_or(ANY_INSTANCE, |device| device.instance);
        match self.step {
            Step::WhoIs => Some(WHO_IS.into()),
            Step::Number => Some(read_property(self.invoke, ANY_INSTANCE, OBJECT_IDENTIFIER)),
            Step::Property(property) => Some(read_property(self.invoke, instance, property.number())),
            Step::Done => None,
        }
    }

    /// What follows once its number is known.
    const fn named(&self) -> Step {
        if self.brief { Step::Done } else { Step::Property(Property::Name) }
    }

    /// Takes what came back, and goes on to the next question if it is the answer.
    ///
    /// # Errors
    /// [`NoAnswer`] if it is not. The talk goes on as if nothing had come.
    pub fn hear(&mut self, bytes: &[u8]) -> Result<(), NoAnswer> {
        let apdu = apdu(bytes)?;
        match self.step {
            Step::WhoIs => {
                let (instance, vendor) = i_am(apdu)?;
                self.device = Some(Device { instance, vendor: Some(vendor), ..Device::default() });
                self.step = self.named();
            }
            Step::Number => {
                let mut value = self.property(apdu, ANY_INSTANCE, OBJECT_IDENTIFIER)?;
                let instance = value.device()?;
                self.device = Some(Device { instance, ..Device::default() });
                self.step = self.named();
            }
            Step::Property(property) => {
                let Some(device) = &self.device else { return Err(NoAnswer::Unasked) };
                let text = match self.property(apdu, device.instance, property.number()) {
                    Ok(mut value) => value.text().ok(),
                    // It has no such property, and says so.
                    Err(NoAnswer::Refused) => None,
                    Err(error) => return Err(error),
                };
                self.store(property, text);
                self.step = property.next().map_or(Step::Done, Step::Property);
            }
            Step::Done => return Err(NoAnswer::Unasked),
        }
        self.invoke = self.invoke.wrapping_add(1);
        Ok(())
    }

    /// Nothing came in time.
    pub fn silent(&mut self) {
        self.step = match self.step {
            Step::WhoIs => Step::Number,
            Step::Property(property) => property.next().map_or(Step::Done, Step::Property),
            Step::Number | Step::Done => Step::Done,
        };
        self.invoke = self.invoke.wrapping_add(1);
    }

    /// Who it is, if it said so.
    pub fn finish(self) -> Option<Device> {
        self.device
    }

    fn store(&mut self, property: Property, text: Option<Box<str>>) {
        let Some(device) = &mut self.device else { return };
        let place = match property {
            Property::Name => &mut device.name,
            Property::VendorName => &mut device.vendor_name,
            Property::Model => &mut device.model,
            Property::Firmware => &mut device.firmware,
        };
        *place = text.filter(|text| !text.is_empty());
    }

    /// The value in the reply to the question for `property` of device `instance`.
    fn property<'a>(&self, apdu: &'a [u8], instance: u32, property: u8) -> Result<Bytes<'a>, NoAnswer> {
        match *apdu {
            [0x50 | 0x60 | 0x70 | 0x71, invoke, ..] if invoke == self.invoke => Err(NoAnswer::Refused),
            [0x30, invoke, READ_PROPERTY, ref rest @ ..] if invoke == self.invoke => {
                let mut rest = Bytes(rest);
                let object = rest.object(0)?;
                // A device asked by any number may tell its own.
                let meant = instance == ANY_INSTANCE || object == instance;
                if !meant || rest.take(2)? != [0x19, property] || rest.take(1)? != [0x3E] {
                    return Err(NoAnswer::Unasked);
                }
                Ok(rest)
            }
            _ => Err(NoAnswer::Unasked),
        }
    }
}

impl Property {
    /// Its number (clause 21, BACnetPropertyIdentifier).
    const fn number(self) -> u8 {
        match self {
            Self::Name => 77,
            Self::VendorName => 121,
            Self::Model => 70,
            Self::Firmware => 44,
        }
    }

    const fn next(self) -> Option<Self> {
        match self {
            Self::Name => Some(Self::VendorName),
            Self::VendorName => Some(Self::Model),
            Self::Model => Some(Self::Firmware),
            Self::Firmware => None,
        }
    }
}

/// Bytes that answer nothing that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// They end before they should.
    #[error("{0} bytes are too few")]
    Short(usize),
    /// They are not BACnet/IP, or of a kind that no single device sends.
    #[error("not BACnet/IP to a single device")]
    Foreign,
    /// Another network's device, behind a router.
    #[error("a device of another network answers")]
    Routed,
    /// The device refuses.
    #[error("the device refuses")]
    Refused,
    /// They answer another question, or none.
    #[error("an answer to a question that was not asked")]
    Unasked,
    /// A value is not what was asked for.
    #[error("a value of another type than asked for")]
    Value,
}

/// The part that the device itself says: without the frame and the network's header.
fn apdu(bytes: &[u8]) -> Result<&[u8], NoAnswer> {
    let [0x81, function, high, low, rest @ ..] = bytes else { return Err(NoAnswer::Foreign) };
    if usize::from(u16::from_be_bytes([*high, *low])) != bytes.len() {
        return Err(NoAnswer::Foreign);
    }
    let mut rest = Bytes(rest);
    match function {
        0x0A | 0x0B => {}
        // Forwarded by a BBMD, with the address of who said it.
        0x04 => drop(rest.take(6)?),
        _ => return Err(NoAnswer::Foreign),
    }
    let [version, control] = *rest.take(2)? else { return Err(NoAnswer::Foreign) };
    if version != 1 || control & 0x80 != 0 {
        return Err(NoAnswer::Foreign);
    }
    if control & 0x08 != 0 {
        return Err(NoAnswer::Routed);
    }
    if control & 0x20 != 0 {
        let length = rest.take(3)?[2];
        rest.take(usize::from(length) + 1)?;
    }
    Ok(rest.0)
}

/// Device number and vendor of an I-Am.
fn i_am(apdu: &[u8]) -> Result<(u32, u32), NoAnswer> {
    let [0x10, 0x00, rest @ ..] = apdu else { return Err(NoAnswer::Unasked) };
    let mut rest = Bytes(rest);
    let instance = rest.device()?;
    let _longest_apdu = rest.unsigned(2)?;
    let _segmentation = rest.unsigned(9)?;
    Ok((instance, rest.unsigned(2)?))
}

fn read_property(invoke: u8, instance: u32, property: u8) -> Vec<u8> {
    let [a, b, c, d] = (wire::DEVICE << 22 | instance).to_be_bytes();
    // Nothing in pieces; up to 1,476 bytes (20.1.2.5).
    [0x81, 0x0A, 0, 17, 1, 0x04, 0x00, 0x05, invoke, READ_PROPERTY, 0x0C, a, b, c, d, 0x19, property].into()
}

/// Unconfirmed request 8, to one address.
const WHO_IS: [u8; 8] = [0x81, 0x0A, 0, 8, 1, 0, 0x10, 0x08];
const READ_PROPERTY: u8 = 12;
const OBJECT_IDENTIFIER: u8 = 75;
/// "Whatever your number is" (12.11).
const ANY_INSTANCE: u32 = 4_194_303;

#[cfg(test)]
mod tests;
