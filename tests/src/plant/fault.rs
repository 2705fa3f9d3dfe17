//! What can go wrong with one reply.

use std::time::Duration;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::wire::{Frame, Framing};

/// One way in which a reply goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It comes this much later.
    Late(Duration),
    /// It never comes.
    Silent,
    /// It stops somewhere in the middle, and no more comes.
    CutShort,
    /// A sound frame with one word fewer than was asked for.
    FewerWords,
    /// A sound frame with one word more than was asked for.
    MoreWords,
    /// It comes in pieces of one to three bytes, each this much after the one before. Harmless: the reply is right.
    Fragmented(Duration),
    /// It comes twice.
    Duplicated,
    /// Another unit answers.
    WrongUnit,
    /// It carries another transaction number; on a line, where there is none, another checksum.
    WrongTransaction,
    /// Another function answers.
    WrongFunction,
    /// It is noise.
    Garbage,
    /// One bit of it is another. On TCP only in the header: nothing there would show it in the data.
    BitFlipped,
    /// Noise, then the reply.
    NoiseBefore,
    /// The connection is closed instead.
    HangUp,
    /// Half of it, then the connection is closed.
    HalfThenHangUp,
    /// The exception of this code instead. Harmless: it says itself that it is no value.
    Refused(u8),
}

/// What goes out instead of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spoilt {
    /// The pieces, each after a pause.
    pub pieces: Vec<(Duration, Vec<u8>)>,
    /// Whether the connection is closed behind them.
    pub hang_up: bool,
}

impl Spoilt {
    pub(crate) fn sound(frame: &Frame, framing: Framing) -> Self {
        Self { pieces: vec![(Duration::ZERO, frame.bytes(framing))], hang_up: false }
    }
}

impl Fault {
    /// `frame` with this fault.
    pub(crate) fn spoil(self, frame: &Frame, framing: Framing, dice: &mut ChaCha8Rng) -> Spoilt {
        let sound = frame.bytes(framing);
        let one = |bytes: Vec<u8>| Spoilt { pieces: vec![(Duration::ZERO, bytes)], hang_up: false };
        let changed = |change: &dyn Fn(&mut Frame)| {
            let mut frame = frame.clone();
            change(&mut frame);
            one(frame.bytes(framing))
        };
        match self {
            Self::Late(by) => Spoilt { pieces: vec![(by, sound)], hang_up: false },
            Self::Silent => Spoilt { pieces: Vec::new(), hang_up: false },
            Self::CutShort => one(sound[..dice.random_range(1..sound.len())].to_vec()),
            Self::FewerWords => changed(&|frame| {
                if let [1..=4, count, ..] = &mut frame.pdu[..] {
                    *count = count.saturating_sub(2);
                    frame.pdu.truncate(frame.pdu.len().saturating_sub(2).max(2));
                } else {
                    frame.pdu.pop();
                }
            }),
            Self::MoreWords => changed(&|frame| {
                if let [1..=4, count, ..] = &mut frame.pdu[..] {
                    *count = count.saturating_add(2);
                }
                frame.pdu.extend([0xAB, 0xCD]);
            }),
            Self::Fragmented(pause) => {
                let (mut pieces, mut rest) = (Vec::new(), &sound[..]);
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at(dice.random_range(1..=3).min(rest.len()));
                    let pause = if pieces.is_empty() { Duration::ZERO } else { pause };
                    pieces.push((pause, piece.to_vec()));
                    rest = after;
                }
                Spoilt { pieces, hang_up: false }
            }
            Self::Duplicated => one([&sound[..], &sound].concat()),
            Self::WrongUnit => changed(&|frame| frame.unit = frame.unit.wrapping_add(1)),
            Self::WrongTransaction if framing == Framing::Tcp => {
                changed(&|frame| frame.transaction = frame.transaction.wrapping_sub(1))
            }
            Self::WrongTransaction => {
                let mut bytes = sound;
                let last = bytes.len() - 1;
                bytes[last] ^= 0x55;
                one(bytes)
            }
            Self::WrongFunction => changed(&|frame| frame.pdu[0] = if frame.pdu[0] == 3 { 4 } else { 3 }),
            Self::Garbage => {
                let mut noise = vec![0; dice.random_range(1..300)];
                dice.fill(&mut noise[..]);
                // Noise may by chance be a reply; this one is not.
                noise[0] = !sound[0];
                one(noise)
            }
            Self::BitFlipped => {
                let mut bytes = sound;
                let end = if framing == Framing::Tcp { 8 } else { bytes.len() };
                let at = dice.random_range(0..end.min(bytes.len()));
                bytes[at] ^= 1 << dice.random_range(0..8);
                one(bytes)
            }
            Self::NoiseBefore => {
                let mut noise = vec![0; dice.random_range(1..8)];
                dice.fill(&mut noise[..]);
                noise[0] = !sound[0];
                one([noise, sound].concat())
            }
            Self::HangUp => Spoilt { pieces: Vec::new(), hang_up: true },
            Self::HalfThenHangUp => {
                Spoilt { pieces: vec![(Duration::ZERO, sound[..sound.len() / 2].to_vec())], hang_up: true }
            }
            Self::Refused(code) => {
                let pdu = vec![frame.pdu[0] | 0x80, code];
                one(Frame { pdu, ..frame.clone() }.bytes(framing))
            }
        }
    }

    /// One of each kind. `late` is beyond the patience of whoever asks.
    pub fn all(late: Duration) -> Vec<Self> {
        vec![
            Self::Late(late),
            Self::Silent,
            Self::CutShort,
            Self::FewerWords,
            Self::MoreWords,
            Self::Fragmented(Duration::from_millis(1)),
            Self::Duplicated,
            Self::WrongUnit,
            Self::WrongTransaction,
            Self::WrongFunction,
            Self::Garbage,
            Self::BitFlipped,
            Self::NoiseBefore,
            Self::HangUp,
            Self::HalfThenHangUp,
            Self::Refused(6),
        ]
    }
}
