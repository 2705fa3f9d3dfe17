//! Upstreams that misbehave, and TLS: each is a failed upstream with its reason, and no local answer is lost over it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use wayside_tests::broker::free_port;
use wayside_tests::daemon::{Daemon, output};
use wayside_tests::place::Scratch;
use wayside_tests::wait::eventually;
use wayside_tests::wayside::Wayside;

#[test]
fn every_bad_upstream_is_named_and_costs_no_local_answer() {
    let elsewhere = serve(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"instances\":[]}");
    });
    let moved = format!("HTTP/1.1 302 Found\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n");
    let cases: Vec<(SocketAddr, &str, &str)> = vec![
        (serve(|mut stream| drop(stream.read_to_end(&mut Vec::new()))), "late", "no answer within 300 ms"),
        (serve(|mut stream| drop(stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n"))), "contract", "no HTTP answer"),
        (serve(move |stream| say(stream, moved.as_bytes())), "contract", "status 302: redirects are not followed"),
        (serve(|stream| say(stream, &answer("<html>"))), "contract", "not a JSON object"),
        (serve(|stream| say(stream, &answer(r#"{"instances":[{"id":"x"}]}"#))), "contract", "name is missing"),
        (serve(flood), "contract", "the answer is longer than 1048576 bytes"),
        (serve(|stream| say(stream, b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\n{}")), "refused", "status 503"),
        (closed(), "unreachable", "Connection refused"),
    ];
    for (address, cause, reason) in cases {
        let up = format!(
            "[[upstream]]\ntier = \"region\"\nurls = [\"http://{address}\"]\ntimeout = \"300ms\"\nannounce = false\n"
        );
        let agent = Wayside::start(None, &format!("{QUIET}{up}"));
        agent.register(json!({"name": "charging", "id": "mine", "address": "10.0.0.5", "port": 1, "ttl_s": 600}));
        let started = Instant::now();
        let told = agent.answer(&json!({"service_name": "parking", "deadline": "1s"}));
        assert!(started.elapsed() < Duration::from_secs(1), "{reason}: {:?}", started.elapsed());
        let unreached = &told["unreached"][0];
        assert_eq!((&unreached["tier"], &unreached["cause"]), (&json!("region"), &json!(cause)), "{told}");
        let said = unreached["reason"].as_str().unwrap_or_default();
        assert!(said.contains(reason) && said.contains(&address.to_string()), "{reason}: {said}");
        assert_eq!(agent.cli(&["find", "parking"]).code, if cause == "late" { 5 } else { 3 }, "{reason}");

        let local = agent.answer(&json!({"service_name": "charging"}));
        assert_eq!((&local["tier"], &local["unreached"]), (&json!("local"), &json!([])), "{reason}");
        let merged = agent.answer(&json!({"service_name": "charging", "all_tiers": true, "deadline": "1s"}));
        assert_eq!(
            merged["instances"][0]["id"].as_str().map(|id| id.starts_with("mine@")),
            Some(true),
            "{reason}: {merged}"
        );
        assert!(agent.daemon.rss_kib() < 64 << 10, "{reason}: {} KiB", agent.daemon.rss_kib());
    }
}

#[test]
fn a_deadline_is_kept_by_an_agent_whose_upstreams_are_all_tarpits() {
    let pits: Vec<String> =
        (0..3).map(|_| serve(|mut stream| drop(stream.read_to_end(&mut Vec::new()))).to_string()).collect();
    let up = |tier: &str, pits: &[String]| {
        let urls: Vec<String> = pits.iter().map(|pit| format!("\"http://{pit}\"")).collect();
        format!("[[upstream]]\ntier = \"{tier}\"\nurls = [{}]\nannounce = false\n", urls.join(", "))
    };
    let agent = Wayside::start(None, &format!("{QUIET}{}{}", up("region", &pits[..2]), up("cloud", &pits[2..])));
    for deadline in [100_u64, 300, 700] {
        let started = Instant::now();
        let told = agent.answer(&json!({"service_name": format!("s{deadline}"), "deadline": format!("{deadline}ms")}));
        // The agent answers before the deadline; what is over it is this machine's, which may have much else to do.
        assert!(started.elapsed() < Duration::from_millis(deadline + 250), "{deadline}: {:?}", started.elapsed());
        assert_eq!(told["unreached"].as_array().map(Vec::len), Some(2), "{told}");
    }
}

#[test]
fn tls_is_believed_only_from_whom_it_should_be() {
    let scratch = Scratch::new();
    certificates(&scratch);
    let port = free_port();
    let region = Wayside::start_at(
        ([127, 0, 0, 1], port).into(),
        &format!("id = \"r1\"\n{QUIET}[registry]\nengine = \"memory\"\n"),
    );
    let file = |name: &str| scratch.file(name).display().to_string();
    let edge = |id: &str, at: u16, more: &str| {
        let up =
            format!("[[upstream]]\ntier = \"region\"\nurls = [\"https://localhost:{at}\"]\nrefresh = \"1s\"\n{more}");
        Wayside::start(None, &format!("id = \"{id}\"\n{QUIET}{up}"))
    };
    let believed = format!("ca_file = \"{}\"\n", file("ca.pem"));
    let known = format!("{believed}cert_file = \"{}\"\nkey_file = \"{}\"\n", file("client.pem"), file("client.key"));
    // The certificate of a caller is asked for in the next test: socat cannot take up a session again where it does.
    let (good, good_port) = stunnel(&scratch, "server", port);

    let offers = edge("gw-a", good_port, &known);
    offers.register(json!({"name": "charging", "id": "cp1", "address": "10.0.0.5", "port": 8080, "ttl_s": 600}));
    region.finds("charging", "cp1@gw-a", SOON);
    let asks = edge("gw-b", good_port, &known);
    assert_eq!(asks.answer(&json!({"service_name": "charging"}))["tier"], "region");

    let stranger = edge("gw-d", good_port, &known.replace("ca.pem", "other.pem"));
    assert!(reason(&stranger).contains("UnknownIssuer"), "{}", reason(&stranger));
    let (_expired, expired_port) = stunnel(&scratch, "expired", port);
    let late = edge("gw-e", expired_port, &believed);
    assert!(reason(&late).to_lowercase().contains("expired"), "{}", reason(&late));
    let (_wrong, wrong_port) = stunnel(&scratch, "wrong", port);
    let wrong = edge("gw-f", wrong_port, &believed);
    assert!(reason(&wrong).contains("not valid for name"), "{}", reason(&wrong));
    drop(good);
}

#[test]
fn a_region_speaks_tls_itself_and_knows_its_edges_by_certificate_and_token() {
    let scratch = Scratch::new();
    certificates(&scratch);
    let file = |name: &str| scratch.file(name).display().to_string();
    let port = free_port();
    let tls = format!(
        "[api.tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\nclient_ca_file = \"{}\"\n",
        file("server.pem"),
        file("server.key"),
        file("ca.pem")
    );
    let mut region = Wayside::begin_at(
        ([127, 0, 0, 1], port).into(),
        &format!("id = \"r1\"\n{QUIET}[registry]\nengine = \"memory\"\n{tls}"),
    );
    region.daemon.says("API is up", SOON);
    let up = format!(
        "[[upstream]]\ntier = \"region\"\nurls = [\"https://localhost:{port}\"]\nrefresh = \"1s\"\nca_file = \"{}\"\n",
        file("ca.pem")
    );
    let own = format!("cert_file = \"{}\"\nkey_file = \"{}\"\n", file("client.pem"), file("client.key"));
    let offers = Wayside::start(None, &format!("id = \"gw-a\"\n{QUIET}{up}{own}"));
    offers.register(json!({"name": "charging", "id": "cp1", "address": "10.0.0.5", "port": 8080, "ttl_s": 600}));
    let asks = Wayside::start(None, &format!("id = \"gw-b\"\n{QUIET}{up}{own}cache_negative = \"1s\"\n"));
    let answer = eventually(SOON, "the region answers", || {
        let answer = asks.answer(&json!({"service_name": "charging"}));
        (answer["tier"] == "region").then_some(answer)
    });
    assert_eq!(answer["instances"][0]["id"], "cp1@gw-a");
    let nobody = Wayside::start(None, &format!("id = \"gw-c\"\n{QUIET}{up}"));
    assert!(reason(&nobody).contains("ertificate"), "{}", reason(&nobody));
}

/// Why the region was not reached.
fn reason(agent: &Wayside) -> String {
    let told = agent.answer(&json!({"service_name": "charging"}));
    told["unreached"][0]["reason"].as_str().unwrap_or_default().to_owned()
}

/// Puts TLS before a port of this machine, with the certificate `name`.
fn stunnel(scratch: &Scratch, name: &str, to: u16) -> (Daemon, u16) {
    let port = free_port();
    let mut command = Command::new("socat");
    let file = |name: String| scratch.file(&name).display().to_string();
    command.arg(format!(
        "OPENSSL-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,cert={},key={},verify=0",
        file(format!("{name}.pem")),
        file(format!("{name}.key")),
    ));
    command.arg(format!("TCP:127.0.0.1:{to}"));
    let daemon = Daemon::start(&format!("socat-{name}"), command, scratch.path());
    eventually(SOON, "socat listens", || TcpStream::connect(("127.0.0.1", port)).ok());
    (daemon, port)
}

/// An authority with a server's certificate, one that has expired, one for another name, and a client's; and another
/// authority.
fn certificates(dir: &Scratch) {
    let openssl = |args: &str| drop(output(Command::new("openssl").current_dir(dir.path()).args(args.split(' '))));
    let ec = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for authority in ["ca", "other"] {
        openssl(&format!("req -x509 {ec} -keyout {authority}.key -out {authority}.pem -days 2 -subj /CN={authority}"));
    }
    dir.write("index.txt", "");
    dir.write("serial", "01\n");
    dir.write(
        "ca.cnf",
        "[ca]\ndefault_ca = d\n[d]\ndatabase = index.txt\nserial = serial\nnew_certs_dir = .\ndefault_md = sha256\n\
         policy = p\nunique_subject = no\n[p]\ncommonName = supplied\n",
    );
    for (name, host) in [("server", "localhost"), ("expired", "localhost"), ("wrong", "elsewhere"), ("client", "agent")]
    {
        dir.write("extensions", &format!("subjectAltName=DNS:{host}\nbasicConstraints=CA:FALSE\n"));
        openssl(&format!("req {ec} -keyout {name}.key -out {name}.csr -subj /CN={host}"));
        let dates = if name == "expired" { "-startdate 20200101000000Z -enddate 20200201000000Z" } else { "-days 2" };
        openssl(&format!(
            "ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key {dates} -extfile extensions -in {name}.csr -out {name}.pem"
        ));
    }
}

/// A server on a thread, which lives as long as the test; each connection is handed to `each` on a thread of its own.
fn serve(each: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let each = std::sync::Arc::new(each);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let each = std::sync::Arc::clone(&each);
            thread::spawn(move || each(stream));
        }
    });
    address
}

fn closed() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// Reads a request's head, and answers.
fn say(mut stream: TcpStream, reply: &[u8]) {
    let mut head = [0; 4_096];
    let _ = stream.read(&mut head);
    let _ = stream.write_all(reply);
}

fn answer(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// 100 MiB, without saying so.
fn flood(mut stream: TcpStream) {
    let mut head = [0; 4_096];
    let _ = stream.read(&mut head);
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"instances\":[");
    let chunk = vec![b' '; 1 << 20];
    for _ in 0..100 {
        if stream.write_all(&chunk).is_err() {
            return;
        }
    }
}

/// Nothing but what the test is about.
const QUIET: &str = "[mdns]\nenabled = false\n";
const SOON: Duration = Duration::from_secs(10);
