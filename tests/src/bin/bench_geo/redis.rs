//! redis-server and its geo commands, on a unix socket in a directory of its own.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use wayside_protocols::place::{Fix, Position};
use wayside_tests::wait::eventually;

use crate::contest::{BATCHES, Figures, Question};
use crate::cpu;
use crate::linear::radius_of_ten;
use crate::town::{Town, moved};

/// Puts redis-server through it: two rounds of updates, then the questions, 64 commands in flight.
///
/// # Errors
/// If it is not installed, does not start, or answers with an error.
pub(crate) fn run(town: &Town) -> io::Result<Figures> {
    let mut server = Server::start()?;
    let mut figures = Figures::default();
    let all = || (0_u32..).zip(&town.end);
    server.commands(all().map(|(key, fix)| add(key, fix)))?;
    let later: Vec<Fix> = town.end.iter().map(moved).collect();
    let mut spent = 0.0;
    for fixes in [&later, &town.end] {
        spent += server.commands((0..).zip(fixes).map(|(key, fix)| add(key, fix)))?.0;
    }
    figures.note(Question::Update, 1e6 * spent / (2 * town.end.len()) as f64, 0);
    let ten = format!("BYRADIUS {:.0} m COUNT 10 ASC", radius_of_ten(&town.end, &town.centres).ceil());
    let questions =
        [(Question::Within100, "BYRADIUS 100 m"), (Question::Within500, "BYRADIUS 500 m"), (Question::Nearest10, &ten)];
    for (question, how) in questions {
        let (mut best, mut hits) = (f64::INFINITY, 0);
        for _ in 0..BATCHES {
            let (seconds, found) = server.commands(town.centres.iter().map(|centre| search(centre, how)))?;
            (best, hits) = (best.min(seconds), found);
        }
        figures.note(question, 1e6 * best / town.centres.len() as f64, hits);
    }
    Ok(figures)
}

fn add(key: u32, fix: &Fix) -> String {
    format!("GEOADD town {:.7} {:.7} {key}", fix.position.longitude(), fix.position.latitude())
}

fn search(centre: &Position, how: &str) -> String {
    format!("GEOSEARCH town FROMLONLAT {:.7} {:.7} {how}", centre.longitude(), centre.latitude())
}

struct Server {
    child: Child,
    directory: PathBuf,
    to: UnixStream,
    from: BufReader<UnixStream>,
}

impl Server {
    fn start() -> io::Result<Self> {
        let directory = std::env::temp_dir().join(format!("wayside-bench-geo-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let socket = directory.join("redis.sock");
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(&directory)
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("redis-server does not start: {error}")))?;
        let mut child = child;
        let to = eventually(Duration::from_secs(10), "redis-server opens its socket", || {
            UnixStream::connect(&socket)
                .map(Ok)
                .or_else(|error| match child.try_wait() {
                    // It runs on: look again.
                    Ok(None) => Err(error),
                    Ok(Some(_)) | Err(_) => Ok(Err(io::Error::other("redis-server stops as soon as it starts"))),
                })
                .ok()
        })?;
        let from = BufReader::with_capacity(1 << 16, to.try_clone()?);
        Ok(Self { child, directory, to, from })
    }

    /// Seconds of the server's CPU that `commands` took, and how many elements the answers held.
    fn commands(&mut self, commands: impl Iterator<Item = String>) -> io::Result<(f64, usize)> {
        let before = cpu::of(self.child.id())?;
        let mut commands = commands.peekable();
        let mut elements = 0;
        while commands.peek().is_some() {
            let (mut batch, mut waiting) = (String::new(), 0);
            for command in commands.by_ref().take(PIPELINE) {
                encode(&mut batch, &command);
                waiting += 1;
            }
            self.to.write_all(batch.as_bytes())?;
            for _ in 0..waiting {
                elements += self.reply()?;
            }
        }
        Ok((cpu::of(self.child.id())? - before, elements))
    }

    /// Reads one reply of RESP 2 and says how many elements it has.
    fn reply(&mut self) -> io::Result<usize> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        let line = line.trim_end();
        let number = || line.get(1..).and_then(|rest| rest.parse::<usize>().ok()).unwrap_or(0);
        match line.as_bytes().first() {
            Some(b'*') => {
                for _ in 0..number() {
                    self.reply()?;
                }
                Ok(number())
            }
            Some(b'$') => {
                let mut rest = [0; 64];
                let rest = rest.get_mut(..number() + 2).ok_or_else(|| io::Error::other("a member of 64 bytes"))?;
                self.from.read_exact(rest)?;
                Ok(1)
            }
            Some(b':' | b'+') => Ok(1),
            _ => Err(io::Error::other(format!("redis-server answers {line:?}"))),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.directory));
    }
}

fn encode(batch: &mut String, command: &str) {
    let words: Vec<&str> = command.split(' ').collect();
    // Writing to a string cannot fail.
    let _ = write!(batch, "*{}\r\n", words.len());
    for word in words {
        let _ = write!(batch, "${}\r\n{word}\r\n", word.len());
    }
}

const PIPELINE: usize = 64;
