//! Asking the edge over HTTP, as any program would, and showing what it says.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// Where an answer should come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Which tier.
    pub(crate) tier: &'static str,
    /// Whose service comes first.
    pub(crate) agent: &'static str,
    /// Whether it is only remembered.
    pub(crate) stale: bool,
}

/// Asks until the answer comes from where it should, and shows that one; false if it does not within 15 s. Neighbours
/// are heard a moment after they come, and an answer is remembered for a second.
pub(crate) async fn ask_until(api: SocketAddr, expected: Expected) -> io::Result<bool> {
    let started = Instant::now();
    loop {
        let (answer, took) = ask(api).await?;
        let first = &answer["instances"][0];
        let right =
            answer["tier"] == expected.tier && first["agent"] == expected.agent && first["stale"] == expected.stale;
        if right || started.elapsed() > PATIENCE {
            show(&answer, took, right);
            return Ok(right);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn ask(api: SocketAddr) -> io::Result<(Value, Duration)> {
    let question =
        json!({"service_name": "charging", "constraints": {"location": {"radius_m": 5_000}}, "deadline": "1s"});
    let body = question.to_string();
    let request = format!(
        "POST /v1/discovery/services HTTP/1.1\r\nhost: {api}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let started = Instant::now();
    let mut connection = TcpStream::connect(api).await?;
    connection.write_all(request.as_bytes()).await?;
    let mut reply = String::new();
    connection.read_to_string(&mut reply).await?;
    let took = started.elapsed();
    let (head, body) = reply.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("the answer has no body"))?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(io::Error::other(format!("the edge refuses the question: {body}")));
    }
    Ok((serde_json::from_str(body)?, took))
}

#[expect(clippy::print_stdout, reason = "an example talks")]
fn show(answer: &Value, took: Duration, right: bool) {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let first = &answer["instances"][0];
    println!(
        "   tier {} in {:.1} ms: {} {:.0} m away, age {} ms{}{}",
        text(&answer["tier"]),
        took.as_secs_f64() * 1_000.0,
        text(&first["id"]),
        first["distance_m"].as_f64().unwrap_or(f64::NAN),
        first["age_ms"],
        if first["stale"] == true { ", STALE" } else { "" },
        if right { "" } else { "   <- not what it should be" },
    );
    for tier in answer["explain"].as_array().into_iter().flatten() {
        println!("     {}", text(&tier["text"]));
    }
    for unreached in answer["unreached"].as_array().into_iter().flatten() {
        println!("     unreached: {}: {}", text(&unreached["tier"]), text(&unreached["reason"]));
    }
    println!();
}

/// How long an answer may take to come from where it should.
const PATIENCE: Duration = Duration::from_secs(15);
