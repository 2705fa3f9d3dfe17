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

/// Carries out `survey` until it is finished, or until `stop` is; then no request follows, and every connection is
/// closed as soon as the one on its way is answered.
pub async fn conduct(
    mut survey: Survey,
    bus: &Bus,
    clock: Clock,
    stop: impl Future<Output = ()>,
    mut tell: impl FnMut(Event, Counts),
) -> Counts {
    let mut stop = std::pin::pin!(stop);
    let mut stopped = false;
    let mut tasks: JoinSet<(HostId, Input)> = JoinSet::new();
    loop {
        while let Some(output) = survey.poll_output() {
            match output {
                Output::Connect { host, deadline } => {
                    let (bus, target) = (bus.clone(), survey.target(host).clone());
                    tasks.spawn(async move { (host, connected(bus.connect(&target, deadline).await)) });
                }
                Output::Ask { host, unit, request, deadline } => {
                    let (bus, target) = (bus.clone(), survey.target(host).clone());
                    tasks.spawn(async move { (host, heard(bus.ask(&target, unit, request, deadline).await)) });
                }
                Output::HangUp(host) => bus.hang_up(survey.target(host)).await,
                Output::Found(device) => tell(Event::Found(device), survey.counts()),
                Output::Ended { host, verdict, unasked } => {
                    let target = survey.target(host).clone();
                    tell(Event::Ended { target, verdict, unasked }, survey.counts());
                }
                Output::Finished => return survey.counts(),
            }
        }
        let due = survey.poll_timeout().map_or(RECHECK, |at| at.since(clock.now()));
        tokio::select! {
            biased;
            () = &mut stop, if !stopped => {
                stopped = true;
                survey.stop(clock.now());
            }
            Some(done) = tasks.join_next() => match done {
                Ok((host, input)) => survey.handle(host, input, clock.now()),
                // Nobody cancels these, and a panic ends the program.
                Err(error) => warn!(%error, "a question was lost"),
            },
            () = sleep(due.min(RECHECK)) => survey.handle_timeout(clock.now()),
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
        Err(AskError::Line(LineError::Closed | LineError::Io(_)) | AskError::Open(_)) => Input::Lost,
    }
}

/// The longest wait: tokio's timers stand still while the host sleeps.
const RECHECK: Duration = Duration::from_secs(1);
