//! Whether a device answers at other units as well.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::modbus::reply::{Exception, Reply};
use crate::modbus::request::Request;
use crate::modbus::unit::Unit;

/// One test: the same identity at other units, then the same content.
///
/// Two identical devices have the same identity; so what they hold is compared too, and again if it may have changed
/// in between.
pub(super) struct Alias {
    first: Unit,
    /// Who must say the same as the first, and what it said to which request.
    twins: Vec<Unit>,
    opening: Option<(Request, Reply)>,
    /// Whose content is compared with the first one's.
    last: Unit,
    sample: Request,
    step: Step,
    /// Whether only this one other unit is asked about.
    pair: bool,
    /// Whether the same content makes them one; if not, only whether the other is there is to be known.
    merge: bool,
}

enum Step {
    Identity(usize),
    Here,
    There(Reply),
    HereAgain(Reply),
}

/// How far the test is.
pub(super) enum Told {
    /// Ask on.
    NotYet(Box<Alias>),
    /// It is one device; `asked` is the other unit, if only that was asked about.
    Same { unit: Unit, asked: Option<Unit> },
    /// They are not one. `pair` is the other unit, if only that was asked about; `absent` is not there at all, and
    /// `excuse` is how that was said of a unit for which identification was answered all the same.
    Other { pair: Option<Unit>, absent: Option<Unit>, excuse: Option<Exception> },
}

impl Alias {
    /// Whether the device at `first` answers at every unit: `three` stand for all.
    pub(super) fn all(first: Unit, three: [Unit; 3], probe: Request, opening: Reply, sample: Request) -> Self {
        let [one, two, last] = three;
        let opening = Some((probe, opening));
        Self {
            first,
            twins: [one, two].into(),
            opening,
            last,
            sample,
            step: Step::Identity(0),
            pair: false,
            merge: true,
        }
    }

    /// Whether the devices at two units, which say the same of themselves, are one; without `merge` only whether the
    /// other is there at all.
    pub(super) fn pair(first: Unit, other: Unit, sample: Request, merge: bool) -> Self {
        Self { first, twins: Vec::new(), opening: None, last: other, sample, step: Step::Here, pair: true, merge }
    }

    pub(super) fn request(&self) -> (Unit, Request) {
        match (&self.step, &self.opening) {
            (Step::Identity(at), Some((probe, _))) => (self.twins.get(*at).copied().unwrap_or(self.last), *probe),
            (Step::Identity(_), None) | (Step::Here | Step::HereAgain(_), _) => (self.first, self.sample),
            (Step::There(_), _) => (self.last, self.sample),
        }
    }

    pub(super) fn heard(mut self: Box<Self>, reply: Reply, absent: impl Fn(Exception) -> bool) -> Told {
        let gone = matches!(reply, Reply::Exception(exception) if absent(exception));
        match self.step {
            Step::Identity(at) => {
                let same = self.opening.as_ref().is_some_and(|(_, opening)| *opening == reply);
                if gone || !same {
                    let absent = self.twins.get(at).copied().filter(|_| gone);
                    return Told::Other { pair: None, absent, excuse: None };
                }
                self.step = if at + 1 < self.twins.len() { Step::Identity(at + 1) } else { Step::Here };
            }
            Step::Here => self.step = Step::There(reply),
            Step::There(ref here) if *here == reply => return self.same(),
            Step::There(ref here) => match reply {
                // Whoever answers for units that are not there can tell who it is, but not what they hold.
                Reply::Exception(exception) if gone || (excuses(exception) && !matches!(here, Reply::Exception(_))) => {
                    return Told::Other { pair: None, absent: Some(self.last), excuse: Some(exception) };
                }
                Reply::Registers(_) | Reply::Bits(_) | Reply::Identification(_) | Reply::Exception(_)
                    if !self.merge =>
                {
                    return self.other();
                }
                Reply::Registers(_) | Reply::Bits(_) | Reply::Identification(_) | Reply::Exception(_) => {
                    self.step = Step::HereAgain(here.clone());
                }
            },
            // What the first one holds did not change: it was another that answered.
            Step::HereAgain(ref here) if *here == reply => return self.other(),
            Step::HereAgain(_) => return self.same(),
        }
        Told::NotYet(self)
    }

    pub(super) fn silent(&self) -> Told {
        let absent = match self.step {
            Step::Identity(at) => self.twins.get(at).copied(),
            Step::Here | Step::There(_) | Step::HereAgain(_) => None,
        };
        Told::Other { pair: self.pair.then_some(self.last), absent, excuse: None }
    }

    fn same(&self) -> Told {
        match self.merge {
            true => Told::Same { unit: self.first, asked: self.pair.then_some(self.last) },
            false => self.other(),
        }
    }

    fn other(&self) -> Told {
        Told::Other { pair: self.pair.then_some(self.last), absent: None, excuse: None }
    }
}

/// Whether an exception may mean that the unit is not there: it says nothing about what was asked.
pub(super) fn excuses(exception: Exception) -> bool {
    !matches!(
        exception,
        Exception::ILLEGAL_FUNCTION
            | Exception::ILLEGAL_ADDRESS
            | Exception::ILLEGAL_VALUE
            | Exception::ACKNOWLEDGE
            | Exception::BUSY
    )
}
