//! Following the engine: everything it holds, page by page at one revision, then every change from the next one on.
//!
//! A connection that breaks is taken up at the revision that was seen last. Where the engine has forgotten that one
//! (compaction), or stands at an earlier one (it was restored from a snapshot), everything is listed anew; likewise where
//! the engine counts other keys than are known here, since a restored engine may have come past that revision meanwhile.

use std::collections::BTreeSet;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value as Json, json};
use tokio::time::{interval, sleep, timeout};
use tracing::{info, warn};
use wayside_core::registry::Footing;
use wayside_protocols::mqtt::announcement::Announcement;
use wayside_protocols::registry::rows::Rows;
use wayside_protocols::service::{Service, ServiceId};
use wayside_protocols::sighting::{Sighting, Source};
use wayside_protocols::time::{Duration, Timestamp};

use super::client::{CallError, Client};
use super::keys::{Keys, end_of, int};
use crate::driver::Message;
use crate::io::backoff::Backoff;
use crate::io::engine::base64::{decode, encode};
use crate::io::engine::{About, Node};

pub(super) async fn run(client: Client, keys: Keys, node: Node) {
    let listed = node.clock.now();
    let mut follower =
        Follower { client, keys, node, held: BTreeSet::new(), odd: BTreeSet::new(), miscounts: 0, seen: None, listed };
    let mut backoff = Backoff::new(follower.node.seed);
    let mut stands = follower.node.stands(Footing::CatchingUp).await;
    while stands {
        match follower.follow(&mut backoff).await {
            Ok(()) => return,
            Err(why) => {
                warn!(%why, "the engine is lost");
                let footing = if follower.seen.is_some() { Footing::Lost(why.into()) } else { Footing::CatchingUp };
                stands = follower.node.stands(footing).await;
                follower.client.turn();
                sleep(backoff.next().min(LONGEST)).await;
            }
        }
    }
}

struct Follower {
    client: Client,
    keys: Keys,
    node: Node,
    /// Every service the node was told of.
    held: BTreeSet<ServiceId>,
    /// Keys below the prefix that are no rows of ours.
    odd: BTreeSet<Vec<u8>>,
    /// How often in a row the engine counted other keys than are known.
    miscounts: u32,
    /// The revision up to which everything is known.
    seen: Option<i64>,
    listed: Timestamp,
}

/// What became of a stretch of the watch.
enum Ended {
    /// The agent has stopped.
    Left,
    /// Everything has to be listed anew.
    Relist(&'static str),
}

impl Follower {
    /// Follows until the agent stops.
    ///
    /// # Errors
    /// Why the engine is lost.
    async fn follow(&mut self, backoff: &mut Backoff) -> Result<(), String> {
        loop {
            let revision = self.revision().await.map_err(|error| error.to_string())?;
            let seen = match self.seen.filter(|seen| *seen <= revision) {
                Some(seen) => seen,
                None => self.list().await.map_err(|error| error.to_string())?,
            };
            self.seen = Some(seen);
            match self.watch(seen + 1, backoff).await? {
                Ended::Left => return Ok(()),
                Ended::Relist(why) => {
                    info!(why, "everything is listed anew");
                    self.seen = None;
                }
            }
        }
    }

    /// Where the engine stands; also shows that a majority of it is there.
    async fn revision(&self) -> Result<i64, CallError> {
        let body = json!({ "key": encode(self.keys.all().as_bytes()), "count_only": true });
        Ok(int(&self.client.call("/v3/kv/range", &body).await?["header"]["revision"]))
    }

    /// Whether the engine counts as many keys as are known, or did so a moment ago: what is on its way is no mistake.
    async fn counts(&mut self) -> Result<bool, CallError> {
        let all = self.keys.all();
        let body = json!({
            "key": encode(all.as_bytes()), "range_end": encode(&end_of(&all)), "count_only": true,
        });
        let counted = int(&self.client.call("/v3/kv/range", &body).await?["count"]);
        let known = self.held.len() + self.odd.len();
        self.miscounts = if usize::try_from(counted) == Ok(known) { 0 } else { self.miscounts + 1 };
        Ok(self.miscounts < MISCOUNTS)
    }

    /// Everything at one revision, which is returned. What is not among it is gone.
    async fn list(&mut self) -> Result<i64, CallError> {
        let (mut from, end) = (self.keys.all().into_bytes(), end_of(&self.keys.all()));
        let (mut revision, mut listed) = (0, BTreeSet::new());
        self.odd.clear();
        self.miscounts = 0;
        loop {
            let body = json!({
                "key": encode(&from), "range_end": encode(&end), "limit": PAGE, "revision": revision,
            });
            let page = self.client.call("/v3/kv/range", &body).await?;
            if revision == 0 {
                revision = int(&page["header"]["revision"]);
            }
            for kv in page["kvs"].as_array().into_iter().flatten() {
                if let Some(key) = decode(&kv["key"]) {
                    listed.extend(self.take(&key, &kv["value"]).await);
                    from = key;
                }
            }
            if page["more"] != Json::Bool(true) {
                break;
            }
            from.push(0);
        }
        let gone: Vec<ServiceId> = self.held.difference(&listed).cloned().collect();
        for id in gone {
            self.drop_row(id).await;
        }
        info!(services = self.held.len(), revision, "the engine is listed");
        self.listed = self.node.clock.now();
        Ok(revision)
    }

    /// Every change from `revision` on.
    async fn watch(&mut self, revision: i64, backoff: &mut Backoff) -> Result<Ended, String> {
        let all = self.keys.all();
        let body = json!({ "create_request": {
            "key": encode(all.as_bytes()), "range_end": encode(&end_of(&all)), "start_revision": revision,
        }});
        let place = self.client.place();
        let mut stream = self.client.stream("/v3/watch", &body).await.map_err(|error| error.to_string())?;
        let mut lines = Lines::default();
        let (mut probe, mut probes) = (interval(PROBE), 0_u32);
        loop {
            tokio::select! {
                line = lines.next(&mut stream) => {
                    let answer = line?;
                    if let Some(ended) = self.answered(&answer["result"], backoff).await? {
                        return Ok(ended);
                    }
                }
                _ = probe.tick() => {
                    // A member that is cut off from the others keeps its watches open, and says nothing.
                    let revision = timeout(PATIENCE, self.revision()).await;
                    let revision = revision.map_err(|_| "no answer from any member in time".to_owned())?;
                    let revision = revision.map_err(|error| error.to_string())?;
                    if self.client.place() != place {
                        return Err("the member that is watched no longer answers".to_owned());
                    }
                    if self.seen.is_some_and(|seen| seen > revision) {
                        return Ok(Ended::Relist("the engine stands at an earlier revision than before"));
                    }
                    probes += 1;
                    if probes.is_multiple_of(COUNT_EVERY) {
                        let counts = timeout(PATIENCE, self.counts()).await;
                        let counts = counts.map_err(|_| "no answer from any member in time".to_owned())?;
                        if !counts.map_err(|error| error.to_string())? {
                            return Ok(Ended::Relist("the engine counts other keys than are known"));
                        }
                    }
                    if self.node.clock.now() - self.listed > RELIST {
                        return Ok(Ended::Relist("it was last done long ago"));
                    }
                }
            }
        }
    }

    async fn answered(&mut self, result: &Json, backoff: &mut Backoff) -> Result<Option<Ended>, String> {
        if result["canceled"] == Json::Bool(true) {
            if int(&result["compact_revision"]) > 0 {
                return Ok(Some(Ended::Relist("the engine has forgotten the revision that was seen last")));
            }
            return Err(format!("the watch was cancelled: {}", result["cancel_reason"]));
        }
        if result["created"] == Json::Bool(true) {
            backoff.reset();
            return Ok((!self.node.stands(Footing::Following).await).then_some(Ended::Left));
        }
        for event in result["events"].as_array().into_iter().flatten() {
            let Some(key) = decode(&event["kv"]["key"]) else { continue };
            if event["type"] == "DELETE" {
                self.odd.remove(&key);
                if let Some(id) = self.keys.about(&key).map(service_id) {
                    self.drop_row(id).await;
                }
            } else {
                self.take(&key, &event["kv"]["value"]).await;
            }
        }
        let revision = int(&result["header"]["revision"]);
        self.seen = self.seen.max(Some(revision).filter(|revision| *revision > 0));
        Ok(None)
    }

    /// Takes in what stands under a key. What is no row of ours is passed over: somebody else wrote it.
    async fn take(&mut self, key: &[u8], value: &Json) -> Option<ServiceId> {
        let about = self.keys.about(key);
        let read = |about: About| decode(value).and_then(|value| self.service(&about, &value));
        let Some(service) = about.and_then(read) else {
            warn!(key = %String::from_utf8_lossy(key).escape_debug(), "what stands there is no row");
            self.odd.insert(key.to_vec());
            return None;
        };
        self.odd.remove(key);
        let id = service.id.clone();
        self.held.insert(id.clone());
        // The engine says when it goes; until then it holds, and is listed anew long before the longest life is over.
        let sighting = Sighting::alive(Source::Region, service, Duration::MAX);
        self.node.inbox.tell(Message::Heard(sighting)).await;
        Some(id)
    }

    fn service(&self, about: &About, value: &[u8]) -> Option<Service> {
        let (now, wall) = (self.node.clock.now(), self.node.clock.wall());
        match about {
            About::Agent(agent) => {
                let told = Rows::decode(value).ok().filter(|told| told.agent == *agent)?;
                Some(told.presence(now))
            }
            About::Row(agent, id) => {
                let row = Announcement::decode(value).ok()?.announcement;
                let service = row.offered_by(agent, wall, now)?;
                (service.id == ServiceId::of(id, agent)).then_some(service)
            }
        }
    }

    async fn drop_row(&mut self, id: ServiceId) {
        self.held.remove(&id);
        self.node.inbox.tell(Message::Heard(Sighting::gone(Source::Region, id))).await;
    }
}

fn service_id(about: About) -> ServiceId {
    match about {
        About::Agent(agent) => ServiceId::agent(&agent),
        About::Row(agent, id) => ServiceId::of(&id, &agent),
    }
}

/// A stream of JSON values, one a line.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
}

impl Lines {
    /// The next value. Cancel safe: what was read stays.
    async fn next(&mut self, stream: &mut Incoming) -> Result<Json, String> {
        loop {
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                return serde_json::from_slice(&line).map_err(|error| format!("the watch is garbled: {error}"));
            }
            match stream.frame().await {
                Some(Ok(frame)) => self.bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                Some(Err(error)) => return Err(format!("the watch broke: {error}")),
                None => return Err("the watch ended".to_owned()),
            }
            if self.bytes.len() > MAX_LINE {
                return Err(format!("a line of the watch is longer than {MAX_LINE} bytes"));
            }
        }
    }
}

/// Rows asked for at once.
const PAGE: usize = 500;
/// How often it is looked whether the engine is there at all.
const PROBE: Duration = Duration::from_secs(2);
/// At every fifth look the keys are counted as well; after so many miscounts in a row they are listed.
const COUNT_EVERY: u32 = 5;
const MISCOUNTS: u32 = 3;
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often everything is listed anew, so that a row lost on the way does not stay lost.
const RELIST: Duration = Duration::from_secs(6 * 3_600);
/// The longest pause before the engine is tried again: a registry that is back must not be found out late.
const LONGEST: Duration = Duration::from_secs(3);
/// Bytes of one answer of the watch.
const MAX_LINE: usize = 16 << 20;
