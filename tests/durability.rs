//! What was acknowledged is on disk, whenever the power goes.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, thread};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use wayside_tests::http::Door;
use wayside_tests::wait::eventually;
use wayside_tests::wayside::Wayside;

#[test]
fn two_hundred_kills_under_load_lose_nothing_that_was_acknowledged() {
    let mut agent = alone();
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut books = Books::default();
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let moment =
            Moment { answers: rng.random_range(0..20), after: Duration::from_micros(rng.random_range(0..3_000)) };
        let told = work(&mut agent, &books.here, round, moment);
        acknowledged += told.registered.len() + told.withdrawn.len();
        books.note(told);
        agent.restart();
        books.compare(&agent, round);
        if books.here.len() > 500 {
            books.clear(&agent);
        }
    }
    eprintln!("{ROUNDS} rounds, {acknowledged} acknowledgements");
    assert!(acknowledged > ROUNDS, "hardly any load: {acknowledged} acknowledgements");
}

#[test]
fn a_state_file_whose_end_was_torn_off_gives_back_all_before_the_tear() {
    let mut agent = alone();
    let ids: Vec<String> =
        (0..20).map(|number| register(&agent.door, &format!("svc-{number}")).expect("it is up")).collect();
    agent.daemon.kill();
    let journal = journal(&agent);
    let whole = fs::read(&journal).expect("it was written");
    fs::write(&journal, &whole[..whole.len() - 3]).expect("it can be torn");

    agent.restart();

    let known = known(&agent);
    for id in &ids[..ids.len() - 1] {
        assert!(known.contains(id), "{id} stood before the tear and is gone");
    }
    register(&agent.door, "after").expect("a torn file takes new registrations");
    agent.restart();
    assert!(self::known(&agent).contains("after@gw-1"));
}

#[test]
fn rubbish_at_the_end_of_a_state_file_is_dropped_and_the_rest_kept() {
    let mut agent = alone();
    let id = register(&agent.door, "svc").expect("it is up");
    agent.daemon.kill();
    let journal = journal(&agent);
    let mut bytes = fs::read(&journal).expect("it was written");
    bytes.extend([0xff; 64]);
    fs::write(&journal, bytes).expect("it can be spoilt");

    agent.restart();

    assert_eq!(known(&agent), BTreeSet::from([id]));
}

/// What must be there, and what must not.
#[derive(Default)]
struct Books {
    here: BTreeSet<String>,
    gone: BTreeSet<String>,
}

/// What one round's clients were told before the kill, and what they asked for without an answer.
#[derive(Default)]
struct Told {
    registered: BTreeSet<String>,
    withdrawn: BTreeSet<String>,
    unanswered: BTreeSet<String>,
}

/// When the power goes: so long after so many answers.
struct Moment {
    answers: usize,
    after: Duration,
}

impl Told {
    fn and(mut self, other: Self) -> Self {
        self.registered.extend(other.registered);
        self.withdrawn.extend(other.withdrawn);
        self.unanswered.extend(other.unanswered);
        self
    }
}

impl Books {
    fn note(&mut self, told: Told) {
        self.here.extend(told.registered);
        self.here.retain(|id| !told.withdrawn.contains(id) && !told.unanswered.contains(id));
        self.gone = told.withdrawn;
    }

    /// What was unanswered may have happened or not: from here on it is as the agent shows it.
    fn compare(&mut self, agent: &Wayside, round: usize) {
        let known = known(agent);
        let lost: Vec<&String> = self.here.difference(&known).collect();
        assert!(lost.is_empty(), "round {round} (seed {SEED}): acknowledged and lost: {lost:?}");
        let back: Vec<&String> = self.gone.intersection(&known).collect();
        assert!(back.is_empty(), "round {round} (seed {SEED}): withdrawn and back: {back:?}");
        self.here = known;
    }

    fn clear(&mut self, agent: &Wayside) {
        for id in std::mem::take(&mut self.here) {
            assert!(withdraw(&agent.door, &id), "{id} is not withdrawn");
        }
    }
}

/// Three clients register and withdraw until the agent is killed under them.
fn work(agent: &mut Wayside, here: &BTreeSet<String>, round: usize, moment: Moment) -> Told {
    let door = agent.door.clone();
    let (tick, answers) = mpsc::channel();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..3)
            .map(|client| {
                let old = here.iter().skip(client).step_by(3);
                let (door, tick) = (&door, tick.clone());
                scope.spawn(move || work_of_one(door, &format!("svc-{round}-{client}"), old, &tick))
            })
            .collect();
        for _ in 0..moment.answers {
            answers.recv_timeout(Duration::from_secs(10)).expect("the agent answers");
        }
        thread::park_timeout(moment.after);
        agent.daemon.kill();
        clients.into_iter().map(|client| client.join().expect("no client panics")).fold(Told::default(), Told::and)
    })
}

fn work_of_one<'a>(
    door: &Door,
    stem: &str,
    mut old: impl Iterator<Item = &'a String>,
    tick: &mpsc::Sender<()>,
) -> Told {
    let mut told = Told::default();
    for number in 0.. {
        let Some(id) = register(door, &format!("{stem}-{number}")) else {
            told.unanswered.insert(format!("{stem}-{number}@gw-1"));
            break;
        };
        told.registered.insert(id);
        tick.send(()).expect("somebody waits");
        let Some(id) = (number % 3 == 0).then(|| old.next()).flatten() else { continue };
        if !withdraw(door, id) {
            told.unanswered.insert(id.clone());
            break;
        }
        told.withdrawn.insert(id.clone());
    }
    told
}

fn register(door: &Door, id: &str) -> Option<String> {
    let info = json!({"id": id, "name": "load", "address": "10.0.0.5", "port": 8080, "ttl_s": 86_400});
    let reply = door.ask("POST", "/v1/discovery/registration", Some(&json!({ "service_info": info }))).ok()?;
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.json()["id"].as_str().map(str::to_owned)
}

fn withdraw(door: &Door, id: &str) -> bool {
    let reply = door.ask("DELETE", &format!("/v1/discovery/registration/{id}"), None);
    reply.is_ok_and(|reply| reply.status == 204)
}

fn known(agent: &Wayside) -> BTreeSet<String> {
    let rows = agent.instances("load");
    rows.iter().filter_map(|row| row["id"].as_str()).map(str::to_owned).collect()
}

/// The file below the state directory that holds the registrations: the longest.
fn journal(agent: &Wayside) -> std::path::PathBuf {
    let entries = fs::read_dir(agent.dir().join("state")).expect("a state directory");
    let files = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file());
    files.max_by_key(|path| fs::metadata(path).map_or(0, |meta| meta.len())).expect("a state file")
}

fn alone() -> Wayside {
    let agent = Wayside::start(None, "id = \"gw-1\"\n[mdns]\nenabled = false\n");
    eventually(Duration::from_secs(5), "its state directory is there", || {
        agent.dir().join("state").exists().then_some(())
    });
    agent
}

const ROUNDS: usize = 200;
const SEED: u64 = 20_261_122;
