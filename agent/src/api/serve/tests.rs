use std::net::SocketAddr;

use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;

use super::*;
use crate::api::stage;

/// A server with small caps on a port of its own; it stops when the sender is dropped.
async fn up(caps: Caps) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let server = Server::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
    let Listen::Tcp(address) = *server.listen() else { panic!("asked for TCP") };
    assert_ne!(address.port(), 0);
    let (stop, stopped) = oneshot::channel::<()>();
    let api = stage::api_with(caps, None);
    let running = tokio::spawn(server.run(api, async { drop(stopped.await) }));
    (address, stop, running)
}

async fn said(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    timeout(LONG, stream.read_to_end(&mut bytes)).await.expect("the connection stays open").unwrap();
    String::from_utf8_lossy(&bytes).into()
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    said(&mut stream).await
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off() {
    let (address, _stop, _) = up(Caps { head_time: Duration::from_millis(50), ..Caps::default() }).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ").await.unwrap();
    let told = said(&mut stream).await;
    assert!(told.is_empty() || told.starts_with("HTTP/1.1 408"), "{told}");
    let mut idle = TcpStream::connect(address).await.unwrap();
    assert_eq!(said(&mut idle).await, "");
}

#[tokio::test]
async fn a_body_that_trickles_in_is_cut_off() {
    let (address, _stop, _) = up(Caps { body_time: Duration::from_millis(50), ..Caps::default() }).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST /v1/discovery/services HTTP/1.1\r\nhost: localhost\r\ncontent-length: 20\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let told = said(&mut stream).await;
    assert!(told.starts_with("HTTP/1.1 408") && told.contains("slow-body"), "{told}");
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let (address, _stop, _) = up(Caps::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    // The server may close before all of it is written.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 431");
}

#[tokio::test]
async fn a_connection_too_many_is_told_so_and_one_that_ends_makes_room() {
    let (address, _stop, _) = up(Caps { connections: 1, ..Caps::default() }).await;
    let mut only = TcpStream::connect(address).await.unwrap();
    only.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    only.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let refused = get(address, "/metrics").await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("limits.connections = 1"), "{refused}");
    drop(only);
    let answered = async { while !get(address, "/metrics").await.starts_with("HTTP/1.1 200") {} };
    timeout(LONG, answered).await.expect("the place is free again");
}

#[tokio::test]
async fn thousands_who_want_to_watch_leave_the_agent_answering() {
    let (address, _stop, _) = up(Caps { connections: 8, ..Caps::default() }).await;
    let mut watching = Vec::new();
    let mut refused = 0;
    for _ in 0..2_000 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // One that was turned away may be closed already.
        let _ = stream.write_all(b"GET /v1/discovery/watch HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let mut status = [0; 12];
        match timeout(LONG, stream.read_exact(&mut status)).await.unwrap() {
            Ok(_) if &status == b"HTTP/1.1 200" => watching.push(stream),
            _ => refused += 1,
        }
    }
    assert_eq!((watching.len(), refused), (2, 1_998));
    let answered = async { while !get(address, "/v1/discovery/health").await.starts_with("HTTP/1.1 200") {} };
    timeout(LONG, answered).await.expect("health is answered");
}

#[tokio::test]
async fn stopping_ends_watches_and_idle_connections() {
    let (address, stop, running) = up(Caps::default()).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    let mut watching = TcpStream::connect(address).await.unwrap();
    watching.write_all(b"GET /v1/discovery/watch HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut status = [0; 12];
    watching.read_exact(&mut status).await.unwrap();
    drop(stop);
    timeout(LONG, running).await.expect("it stops").unwrap();
    assert_eq!(said(&mut idle).await, "");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_socket_nobody_answers_is_taken_over_and_one_that_is_alive_is_not() {
    let path = std::env::temp_dir().join(format!("wayside-api-{}.sock", std::process::id()));
    let listen: Listen = format!("unix:{}", path.display()).parse().unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = Server::bind(&listen).await.unwrap();
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    assert!(matches!(Server::bind(&listen).await, Err(BindError::InUse(_))));
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(stage::api(), async { drop(stopped.await) }));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(said(&mut stream).await.contains("<title>Wayside</title>"));
    drop(stop);
    running.await.unwrap();
    assert!(!path.exists());
    std::fs::write(&path, b"").unwrap();
    assert!(matches!(Server::bind(&listen).await, Err(BindError::NoSocket(_))));
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let (address, _stop, _) = up(Caps::default()).await;
    let error = Server::bind(&Listen::Tcp(address)).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

/// Longer than anything here takes; a test that waits this long has failed.
const LONG: Duration = Duration::from_secs(20);
