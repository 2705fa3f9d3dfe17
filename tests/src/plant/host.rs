//! One simulated host: a device with a network port of its own, or a gateway with a line behind it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::time::{Instant, sleep};

use super::device::{Device, Identity};
use super::fault::{Fault, Spoilt};
use super::ledger::{Asked, Ledger};
use super::wire::{Frame, Framing};

/// How a host behaves. Everything can be changed while it runs.
#[derive(Clone, Debug)]
pub struct Host {
    /// How its frames are told apart.
    pub framing: Framing,
    /// Its units.
    pub units: BTreeMap<u8, Device>,
    /// Who answers for units that are not among them.
    pub others: Others,
    /// What a unit that is not there is answered with.
    pub absent: Absent,
    /// How long a device thinks.
    pub turnaround: Duration,
    /// The line behind it, if it is a gateway.
    pub line: Option<Line>,
    /// The most connections it holds; one beyond is hung up on.
    pub connections: usize,
    /// The most requests that may wait for the line; one beyond is answered "busy" (6).
    pub queue: usize,
    /// What it does with connections.
    pub manner: Manner,
    /// Faults of its replies, each with how many in a thousand have it.
    pub faults: Vec<(u32, Fault)>,
}

/// Who answers for units that nobody has.
#[derive(Clone, Debug, Default)]
pub enum Others {
    /// Nobody.
    #[default]
    Nobody,
    /// This device answers for all of them: it does not look at the unit.
    Same(Device),
    /// Each is answered by a device with a serial number of its own.
    Each(Device),
    /// Each request is answered by a device with another serial number.
    Changing(Device),
}

/// What becomes of a request for a unit that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Nothing.
    Silent,
    /// This exception.
    Exception(u8),
}

/// A serial line behind a gateway: one transaction at a time.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Bits a second; a byte has 11.
    pub baud: u32,
    /// How long the gateway waits for a unit.
    pub timeout: Duration,
}

/// What a host does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It serves them.
    Serves,
    /// It hangs up on each at once.
    HangsUp,
    /// It takes them, and what they ask, and says nothing.
    NeverAnswers,
    /// It answers everything with noise.
    Babbles,
}

impl Host {
    /// A device with a network port of its own that answers as `unit` only, in 8 ms.
    pub fn native(unit: u8, device: Device) -> Self {
        Self {
            framing: Framing::Tcp,
            units: BTreeMap::from([(unit, device)]),
            others: Others::Nobody,
            absent: Absent::Silent,
            turnaround: Duration::from_millis(8),
            line: None,
            connections: 4,
            queue: 32,
            manner: Manner::Serves,
            faults: Vec::new(),
        }
    }

    /// A device with a network port of its own that does not look at the unit.
    pub fn agnostic(device: Device) -> Self {
        Self { units: BTreeMap::new(), others: Others::Same(device), ..Self::native(0, Device::default()) }
    }

    /// A gateway to a line of 9600 baud that waits `timeout` for a unit and then says 0x0B.
    pub fn gateway(timeout: Duration, units: impl IntoIterator<Item = (u8, Device)>) -> Self {
        Self {
            units: units.into_iter().collect(),
            absent: Absent::Exception(0x0B),
            turnaround: Duration::from_millis(5),
            line: Some(Line { baud: 9_600, timeout }),
            ..Self::native(0, Device::default())
        }
    }
}

/// A host at work.
pub(crate) struct Working {
    pub(crate) host: RefCell<Host>,
    pub(crate) ledger: RefCell<Ledger>,
    start: Instant,
    line: Mutex<()>,
    waiting: Cell<usize>,
    open: Cell<usize>,
    dice: RefCell<ChaCha8Rng>,
    /// Ends every connection, and the listener.
    gone: Notify,
}

impl Working {
    pub(crate) fn new(host: Host, seed: u64, start: Instant) -> Rc<Self> {
        Rc::new(Self {
            host: RefCell::new(host),
            ledger: RefCell::default(),
            start,
            line: Mutex::new(()),
            waiting: Cell::new(0),
            open: Cell::new(0),
            dice: RefCell::new(ChaCha8Rng::seed_from_u64(seed)),
            gone: Notify::new(),
        })
    }

    /// Closes its door and hangs up on everybody.
    pub(crate) fn leave(&self) {
        self.gone.notify_waiters();
    }

    /// Takes connections until it leaves.
    pub(crate) async fn listen(self: Rc<Self>, listener: TcpListener) {
        let gone = self.gone.notified();
        tokio::pin!(gone);
        gone.as_mut().enable();
        loop {
            let stream = tokio::select! {
                () = &mut gone => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(_) => return,
                },
            };
            let host = self.clone();
            tokio::task::spawn_local(async move { host.receive(stream).await });
        }
    }

    async fn receive(self: Rc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let number = {
            let mut ledger = self.ledger.borrow_mut();
            ledger.connections += 1;
            ledger.connected.push(self.start.elapsed());
            ledger.connections
        };
        let (most, manner) = (self.host.borrow().connections, self.host.borrow().manner);
        if self.open.get() >= most || manner == Manner::HangsUp {
            return;
        }
        self.open.set(self.open.get() + 1);
        {
            let mut ledger = self.ledger.borrow_mut();
            ledger.open_at_once = ledger.open_at_once.max(self.open.get());
        }
        let (reading, writing) = stream.into_split();
        self.serve(number, reading, writing).await;
        self.open.set(self.open.get() - 1);
        self.ledger.borrow_mut().closed = Some(self.start.elapsed());
    }

    /// Serves one connection, or a serial line, until its end.
    pub(crate) async fn serve(
        self: &Rc<Self>,
        connection: u64,
        mut reading: impl AsyncRead + Unpin,
        mut writing: impl AsyncWrite + Unpin,
    ) {
        let (sender, mut requests) = mpsc::channel::<(Frame, u64)>(MOST_PIPELINED);
        let outstanding = Cell::new(0);
        let hear = async {
            let mut heard = Vec::new();
            let mut buffer = [0; 1_024];
            while let Ok(length @ 1..) = reading.read(&mut buffer).await {
                self.ledger.borrow_mut().bytes += length as u64;
                heard.extend(&buffer[..length]);
                let framing = self.host.borrow().framing;
                loop {
                    match Frame::take(framing, &mut heard) {
                        Ok(None) => break,
                        Ok(Some(frame)) => {
                            outstanding.set(outstanding.get() + 1);
                            let request = self.note(connection, &frame, outstanding.get());
                            if sender.try_send((frame, request)).is_err() {
                                return;
                            }
                        }
                        Err(strange) => {
                            let mut ledger = self.ledger.borrow_mut();
                            if ledger.strange.len() < MOST_STRANGE {
                                ledger.strange.push(strange);
                            }
                        }
                    }
                }
            }
        };
        let answer = async {
            while let Some((frame, request)) = requests.recv().await {
                let spoilt = self.reply(&frame, request).await;
                for (pause, bytes) in spoilt.pieces {
                    if !pause.is_zero() {
                        sleep(pause).await;
                    }
                    if writing.write_all(&bytes).await.is_err() {
                        return;
                    }
                    let _ = writing.flush().await;
                }
                if spoilt.hang_up {
                    return;
                }
                outstanding.set(outstanding.get() - 1);
            }
        };
        tokio::select! {
            () = self.gone.notified() => {}
            () = hear => {}
            () = answer => {}
        }
    }

    fn note(&self, connection: u64, frame: &Frame, outstanding: usize) -> u64 {
        let mut ledger = self.ledger.borrow_mut();
        ledger.outstanding = ledger.outstanding.max(outstanding);
        let at = self.start.elapsed();
        ledger.asked.push(Asked { at, connection, unit: frame.unit, pdu: frame.pdu.clone() });
        ledger.asked.len() as u64
    }

    /// What goes out for a request, at the time it goes out.
    async fn reply(self: &Rc<Self>, frame: &Frame, request: u64) -> Spoilt {
        let (framing, manner) = (self.host.borrow().framing, self.host.borrow().manner);
        match manner {
            Manner::NeverAnswers => return std::future::pending().await,
            Manner::Babbles => {
                let mut noise = vec![0; self.dice.borrow_mut().random_range(1..300)];
                self.dice.borrow_mut().fill_bytes(&mut noise);
                return Spoilt { pieces: vec![(Duration::ZERO, noise)], hang_up: false };
            }
            Manner::Serves | Manner::HangsUp => {}
        }
        let Some(pdu) = self.transact(frame, request).await else {
            return Spoilt { pieces: Vec::new(), hang_up: false };
        };
        let frame = Frame { pdu, ..frame.clone() };
        match self.draw() {
            Some(fault) => fault.spoil(&frame, framing, &mut self.dice.borrow_mut()),
            None => Spoilt::sound(&frame, framing),
        }
    }

    /// The answer of the unit, after the time it takes. A gateway goes on with what it has begun when its client leaves.
    async fn transact(self: &Rc<Self>, frame: &Frame, request: u64) -> Option<Vec<u8>> {
        let (line, turnaround, queue) = {
            let host = self.host.borrow();
            (host.line, host.turnaround, host.queue)
        };
        let Some(line) = line else {
            sleep(turnaround).await;
            return self.host.borrow().answer(frame, request);
        };
        if self.waiting.get() >= queue {
            return Some(vec![frame.pdu[0] | 0x80, 6]);
        }
        self.waiting.set(self.waiting.get() + 1);
        let (host, frame) = (self.clone(), frame.clone());
        tokio::task::spawn_local(async move { host.on_the_line(line, turnaround, &frame, request).await }).await.ok()?
    }

    async fn on_the_line(&self, line: Line, turnaround: Duration, frame: &Frame, request: u64) -> Option<Vec<u8>> {
        let _turn = self.line.lock().await;
        let there = self.host.borrow().has(frame.unit);
        let answer = self.host.borrow().answer(frame, request);
        let bytes = |count: usize| Duration::from_secs_f64(count as f64 * 11.0 / f64::from(line.baud));
        let asking = bytes(frame.pdu.len() + 3);
        let answering = match there {
            true => turnaround + bytes(answer.as_ref().map_or(0, Vec::len) + 3),
            false => line.timeout,
        };
        // 3.5 bytes of silence end a frame.
        sleep(asking + answering + bytes(4)).await;
        self.waiting.set(self.waiting.get() - 1);
        answer
    }

    fn draw(&self) -> Option<Fault> {
        let host = self.host.borrow();
        if host.faults.is_empty() {
            return None;
        }
        let mut drawn: u32 = self.dice.borrow_mut().random_range(0..1_000);
        for (share, fault) in &host.faults {
            match drawn.checked_sub(*share) {
                Some(rest) => drawn = rest,
                None => return Some(*fault),
            }
        }
        None
    }
}

impl Host {
    fn has(&self, unit: u8) -> bool {
        self.units.contains_key(&unit) || !matches!(self.others, Others::Nobody)
    }

    fn answer(&self, frame: &Frame, request: u64) -> Option<Vec<u8>> {
        let (unit, pdu) = (frame.unit, &frame.pdu);
        let stamped = |device: &Device, number: u64| {
            let mut device = device.clone();
            let identity = device.identity.take().unwrap_or_else(|| Identity::basic("Acme", "X", "1"));
            device.identity = Some(identity.with(1, &format!("X-{number}")));
            device.answer(unit, pdu, request)
        };
        match (self.units.get(&unit), &self.others) {
            (Some(device), _) | (None, Others::Same(device)) => Some(device.answer(unit, pdu, request)),
            (None, Others::Each(device)) => Some(stamped(device, u64::from(unit))),
            (None, Others::Changing(device)) => Some(stamped(device, request)),
            (None, Others::Nobody) => match self.absent {
                Absent::Silent => None,
                Absent::Exception(code) => Some(vec![pdu.first().copied().unwrap_or(0) | 0x80, code]),
            },
        }
    }
}

/// Requests that may be under way on one connection; whoever sends more is hung up on.
const MOST_PIPELINED: usize = 256;
/// Pieces of bytes kept that were no request.
const MOST_STRANGE: usize = 64;
