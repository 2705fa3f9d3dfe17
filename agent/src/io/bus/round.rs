//! Carries out a survey: what it wants asked goes over the bus, and what comes of it goes back.

use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::warn;
use wayside_protocols::modbus::survey::verdict::Verdict;
use wayside_protocols::modbus::survey::{Counts, Device, HostId, Input, Output, Survey};
use wayside_protocols::modbus::target::Target;
use wayside_protocols::time::Duration;

use super::desk::Bus;
use super::line::LineError;
use super::open::OpenError;
use super::owner::AskError;
use crate::clock::Clock;

/// Something a survey has to tell.
#[derive(Clone, Debug)]
pub enum Event {
    /// A device; told again of the same unit, it replaces what was told before.
    Found(Box<Device>),
    /// A host was asked all it will be asked.
    Ended {
        /// Which.
        target: Target,
        /// How it ended.
        verdict: Verdict,
        /// Units that were not asked.
        unasked: usize,
    },
}

/// A survey that is being carried out. Dropping it sends nothing more; what is on its way is answered first.
pub struct Round {
    survey: Survey,
    bus: Bus,
    clock: Clock,
    tasks: JoinSet<(HostId, Input)>,
    /// A connection that is to be closed, until the bus has been told.
    leaving: Option<Target>,
}

impl Round {
    /// Carries out `survey` over `bus`.
    pub fn new(survey: Survey, bus: Bus, clock: Clock) -> Self {
        Self { survey, bus, clock, tasks: JoinSet::new(), leaving: None }
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        self.survey.counts()
    }

    /// No request follows; every connection is closed as soon as the one on its way is answered. [`Round::next`] then
    /// tells how each host ended.
    pub fn stop(&mut self) {
        self.survey.stop(self.clock.now());
    }

    /// The next thing it has to tell; `None` once it is over. Nothing is lost if the future is dropped before it is done.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(target) = &self.leaving {
                self.bus.hang_up(target).await;
                self.leaving = None;
            }
            while let Some(output) = self.survey.poll_output() {
                match output {
                    Output::Connect { host, deadline } => {
                        let (bus, target) = (self.bus.clone(), self.survey.target(host).clone());
                        self.tasks.spawn(async move { (host, connected(bus.connect(&target, deadline).await)) });
                    }
                    Output::Ask { host, unit, request, deadline } => {
                        let (bus, target) = (self.bus.clone(), self.survey.target(host).clone());
                        self.tasks.spawn(async move { (host, heard(bus.ask(&target, unit, request, deadline).await)) });
                    }
                    Output::HangUp(host) => {
                        let target = self.survey.target(host).clone();
                        self.bus.hang_up(self.leaving.insert(target)).await;
                        self.leaving = None;
                    }
                    Output::Found(device) => return Some(Event::Found(device)),
                    Output::Ended { host, verdict, unasked } => {
                        return Some(Event::Ended { target: self.survey.target(host).clone(), verdict, unasked });
                    }
                    Output::Finished => return None,
                }
            }
            let due = self.survey.poll_timeout().map_or(RECHECK, |at| at.since(self.clock.now()));
            tokio::select! {
                biased;
                Some(done) = self.tasks.join_next() => match done {
                    Ok((host, input)) => self.survey.handle(host, input, self.clock.now()),
                    // Nobody cancels these, and a panic ends the program.
                    Err(error) => warn!(%error, "a question was lost"),
                },
                () = sleep(due.min(RECHECK)) => self.survey.handle_timeout(self.clock.now()),
            }
        }
    }
}

fn connected(outcome: Result<(), OpenError>) -> Input {
    match outcome {
        Ok(()) => Input::Connected,
        Err(OpenError::Refused) => Input::Refused,
        Err(error) => Input::Unreachable(error.to_string().into()),
    }
}

fn heard(outcome: Result<(wayside_protocols::modbus::reply::Reply, Duration), AskError>) -> Input {
    match outcome {
        Ok((reply, took)) => Input::Heard(reply, took),
        Err(AskError::Line(LineError::Silent(_))) => Input::Silent,
        Err(AskError::Line(LineError::Garbled(_))) => Input::Garbled,
        Err(AskError::Line(LineError::Foreign(_))) => Input::Foreign,
        // What cannot be recorded is not asked.
        Err(AskError::Open(error @ OpenError::Audit(_))) => Input::Unreachable(error.to_string().into()),
        Err(AskError::Line(LineError::Closed | LineError::Io(_)) | AskError::Open(_)) => Input::Lost,
    }
}

/// The longest wait: tokio's timers stand still while the host sleeps.
const RECHECK: Duration = Duration::from_secs(1);
