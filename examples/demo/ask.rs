//! Asking an agent over its HTTP API, as any program would, and showing what it says.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Puts `question` to the agent at `api`.
///
/// # Errors
/// What went wrong with the connection, or with the answer.
pub(crate) async fn ask(api: SocketAddr, question: &Value) -> io::Result<Value> {
    let body = question.to_string();
    let request = format!(
        "POST /v1/discovery/services HTTP/1.1\r\nhost: {api}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut connection = TcpStream::connect(api).await?;
    connection.write_all(request.as_bytes()).await?;
    let mut reply = String::new();
    connection.read_to_string(&mut reply).await?;
    let (head, body) = reply.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("the answer has no body"))?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(io::Error::other(format!("the agent refuses the question: {body}")));
    }
    Ok(serde_json::from_str(body)?)
}

/// Prints an answer for people: the matches, then what each tier had to say.
#[expect(clippy::print_stdout, reason = "a demo talks")]
pub(crate) fn show(answer: &Value) {
    for found in list(answer, "instances").iter().take(3) {
        println!(
            "    {:>6.1} m  {:<9} {:<24} age {:>4} ms  sigma {:>4.1} m  from {}",
            number(found, "distance_m"),
            text(found, "verdict"),
            text(found, "id"),
            number(found, "age_ms"),
            number(found, "sigma_m"),
            list(found, "sources").iter().filter_map(Value::as_str).collect::<Vec<_>>().join("+"),
        );
    }
    let rest = list(answer, "instances").len().saturating_sub(3);
    if rest > 0 {
        println!("            and {rest} more");
    }
    for tier in list(answer, "explain") {
        println!("    {}", text(tier, "text"));
    }
}

/// The list `name` of `value`, empty if there is none.
pub(crate) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

/// The text `name` of `value`, empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// The number `name` of `value`, NaN if there is none.
pub(crate) fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or(f64::NAN)
}
