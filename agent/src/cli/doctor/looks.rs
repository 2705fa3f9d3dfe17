//! What the doctor looks at: each look takes at most [`PATIENCE`], and changes nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use hyper::Method;
use rustix::process::{Resource, getrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use wayside_protocols::modbus::target::Target;
use wayside_protocols::time::Duration;

use super::{Look, State};
use crate::cli::client::{Client, Reply};
use crate::clock::Clock;
use crate::config::problem::{Problem, Problems};
use crate::config::{Config, Mdns, Modbus, Mqtt, Upstream, state};
use crate::io::interfaces::{Selection, interfaces};

/// How long one look may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn configuration(checked: &Result<(Config, Vec<Problem>), Problems>) -> Look {
    match checked {
        Ok((_, warnings)) if warnings.is_empty() => Look::works("configuration", "right"),
        Ok((_, warnings)) => {
            let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
            Look::new("configuration", State::Worth, told.join("; "), "wayside check tells more")
        }
        Err(problems) => Look::new("configuration", State::Broken, problems.to_string(), "wayside check"),
    }
}

pub(super) async fn agent(client: &Client) -> Look {
    let told = match client.call(Method::GET, "/v1/discovery/health", String::new()).await {
        Err(failure) => {
            return Look::new("agent", State::Broken, failure.to_string(), "systemctl start wayside, or wayside run");
        }
        Ok(Reply::Unknown) => {
            return Look::new("agent", State::Broken, "no agent answers there", "name it with --agent");
        }
        Ok(Reply::Body(text)) => text,
    };
    let health: serde_json::Value = serde_json::from_str(&told).unwrap_or_default();
    let about = format!(
        "{} of version {} answers",
        health["agent"].as_str().unwrap_or("?"),
        health["version"].as_str().unwrap_or("?")
    );
    let problems: Vec<&str> =
        health["problems"].as_array().into_iter().flatten().filter_map(|told| told.as_str()).collect();
    if problems.is_empty() {
        Look::works("agent", about)
    } else {
        Look::new(
            "agent",
            State::Worth,
            format!("{about}: {}", problems.join("; ")),
            "wayside health shows all it counts",
        )
    }
}

pub(super) async fn mdns(mdns: &Mdns) -> Vec<Look> {
    if !mdns.enabled {
        return vec![Look::off("mdns", "")];
    }
    let wanted: Vec<String> = mdns.interfaces.iter().map(ToString::to_string).collect();
    let found = interfaces(&Selection::new(wanted.clone()));
    let links = match found {
        Err(error) => Look::new("interfaces", State::Broken, error.to_string(), ""),
        Ok(found) if found.is_empty() => {
            let hint = match wanted.is_empty() {
                true => "plug a cable in, or name the interface in mdns.interfaces",
                false => "mdns.interfaces names what is not up; see ip link",
            };
            Look::new("interfaces", State::Broken, "none is up, multicast and has an address", hint)
        }
        Ok(found) => {
            let names = found.values().map(|link| {
                let ips: Vec<String> = link.addresses.iter().map(|(ip, bits)| format!("{ip}/{bits}")).collect();
                format!("{} {}", link.name, ips.join(" "))
            });
            Look::works("interfaces", names.collect::<Vec<_>>().join(", "))
        }
    };
    vec![links, port(), multicast()]
}

/// Whether port 5353 can be shared, and with how many sockets it is.
fn port() -> Look {
    let shared = || -> io::Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, MDNS)).into())
    };
    if let Err(error) = shared() {
        let hint = "stop the program that holds it without sharing: ss -lunp 'sport = :5353'";
        return Look::new("port 5353", State::Broken, error.to_string(), hint);
    }
    let open = ["/proc/net/udp", "/proc/net/udp6"].iter().filter_map(|path| fs::read_to_string(path).ok());
    let there: usize = open.map(|text| text.lines().filter(|line| line.contains(":14E9 ")).count()).sum();
    Look::works("port 5353", format!("can be shared; {there} sockets have it at this moment"))
}

/// Whether the multicast group can be joined.
fn multicast() -> Look {
    let joined = || -> io::Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.join_multicast_v4(&Ipv4Addr::new(224, 0, 0, 251), &Ipv4Addr::UNSPECIFIED)
    };
    match joined() {
        Ok(()) => Look::works("multicast", "the group 224.0.0.251 can be joined"),
        Err(error) => {
            Look::new("multicast", State::Broken, error.to_string(), "ip route add 224.0.0.0/4 dev INTERFACE")
        }
    }
}

pub(super) async fn broker(mqtt: Option<&Mqtt>) -> Look {
    let Some(mqtt) = mqtt else { return Look::off("broker", "[mqtt] url = \"mqtt://HOST\" joins one") };
    #[cfg(feature = "tls")]
    if mqtt.address.tls
        && let Err(error) = (crate::io::tls::Files { ca: mqtt.ca_file.clone(), identity: mqtt.identity.clone() }).load()
    {
        return Look::new("broker", State::Broken, error.told(), "see ca_file, cert_file and key_file of [mqtt]");
    }
    let place = format!("{}:{}", mqtt.address.host, mqtt.address.port);
    match reach(&place).await {
        Ok(stream) => Look::works("broker", format!("{} takes connections", said(&place, &stream))),
        Err(error) => {
            Look::new("broker", State::Broken, format!("{place}: {error}"), "is it up, and the way to it open?")
        }
    }
}

pub(super) async fn receiver(config: &Config) -> Look {
    let Some(gpsd) = &config.gpsd else {
        return match config.position {
            Some(at) => Look::works("position", format!("{} by the configuration", at.position)),
            None => Look::off("position", "[position] lat, lon or gpsd; or PUT /v1/position"),
        };
    };
    let mut stream = match reach(gpsd).await {
        Ok(stream) => stream,
        Err(error) => return Look::new("gpsd", State::Broken, format!("{gpsd}: {error}"), "systemctl start gpsd"),
    };
    let mut greeting = [0; 256];
    match timeout(PATIENCE, stream.read(&mut greeting)).await {
        Ok(Ok(length)) if greeting[..length].starts_with(b"{\"class\":\"VERSION\"") => {
            Look::works("gpsd", format!("{gpsd} answers"))
        }
        Ok(_) | Err(_) => {
            Look::new("gpsd", State::Broken, format!("{gpsd} does not answer like gpsd"), "is it another program?")
        }
    }
}

pub(super) fn serial(modbus: &Modbus) -> Vec<Look> {
    let lines = modbus.segments.iter().flat_map(|segment| segment.segment.targets()).filter_map(Target::serial);
    let looks: Vec<Look> = lines.map(|serial| line(&serial.path)).collect();
    match (looks.is_empty(), modbus.segments.is_empty()) {
        (false, _) => looks,
        (true, false) => {
            vec![Look::works("modbus", format!("{} segments, none on a serial line", modbus.segments.len()))]
        }
        (true, true) => {
            let there: Vec<String> = ports().iter().map(|path| path.display().to_string()).collect();
            let found =
                if there.is_empty() { String::new() } else { format!("serial ports here: {}", there.join(", ")) };
            vec![Look::off("modbus", found)]
        }
    }
}

fn line(path: &str) -> Look {
    // Opening a port that is not ready must not wait for its carrier.
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path);
    match opened {
        Ok(_) => Look::works("serial line", format!("{path} can be opened")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let there: Vec<String> = ports().iter().map(|path| path.display().to_string()).collect();
            let hint = format!(
                "is the adapter plugged in? there are: {}",
                if there.is_empty() { "none".to_owned() } else { there.join(", ") }
            );
            Look::new("serial line", State::Broken, format!("{path} is not there"), hint)
        }
        Err(error) => Look::new(
            "serial line",
            State::Broken,
            format!("{path}: {error}"),
            "add the agent's user to the group dialout",
        ),
    }
}

/// Serial ports of real hardware.
fn ports() -> Vec<PathBuf> {
    let entries = fs::read_dir("/dev").into_iter().flatten().flatten();
    let serial = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        ["ttyUSB", "ttyACM", "ttyAMA", "ttymxc"].iter().any(|kind| name.starts_with(kind))
    };
    let mut ports: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(serial).collect();
    ports.sort();
    ports
}

pub(super) async fn upstreams(upstreams: &[Upstream]) -> Vec<Look> {
    if upstreams.is_empty() {
        return vec![Look::off("region, cloud", "[[upstream]] names registries to ask when nobody near has an answer")];
    }
    let mut looks = Vec::new();
    for upstream in upstreams {
        for url in &upstream.urls {
            let port = url.port_u16().unwrap_or_else(|| if url.scheme_str() == Some("https") { 443 } else { 80 });
            let place = format!("{}:{port}", url.host().unwrap_or_default());
            looks.push(match reach(&place).await {
                Ok(stream) => {
                    Look::works(upstream.tier.as_str(), format!("{} takes connections", said(&place, &stream)))
                }
                Err(error) => {
                    let hint = "what is near is still answered; this registry is not";
                    Look::new(upstream.tier.as_str(), State::Broken, format!("{place}: {error}"), hint)
                }
            });
        }
    }
    looks
}

pub(super) fn clock() -> Look {
    if Clock::start().wall().plausible() {
        return Look::works("clock", "the wall clock has been set");
    }
    let hint = "start an NTP client; until then nothing is dated, and certificates cannot be checked";
    Look::new("clock", State::Worth, "the wall clock was never set", hint)
}

pub(super) fn state(dir: &Path) -> Look {
    match state::directory(dir) {
        Ok(dir) => match state::stray(&dir) {
            None => Look::works("state", format!("{} can be written", dir.display())),
            Some((file, owner)) => {
                let told = format!("{} belongs to another user than its directory", file.display());
                let hint = format!("as root: chown {owner} {}; an agent started by root left it", file.display());
                Look::new("state", State::Worth, told, hint)
            }
        },
        Err(error) => {
            let hint = "registrations are refused where they cannot be kept; set state.dir, or run as the agent's user";
            Look::new("state", State::Worth, error.to_string(), hint)
        }
    }
}

pub(super) fn limits() -> Look {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let mut memory = String::new();
    // Where memory is not limited by a group there is no such file.
    let limit = File::open("/sys/fs/cgroup/memory.max").and_then(|mut file| file.read_to_string(&mut memory));
    let memory = limit.ok().and_then(|_| memory.trim().parse::<u64>().ok());
    let told = match memory {
        Some(bytes) => format!("{files} files, {} MiB of memory", bytes >> 20),
        None => format!("{files} files"),
    };
    if files < FILES {
        return Look::new(
            "limits",
            State::Worth,
            told,
            format!("LimitNOFILE={FILES} lets all connections in that limits.* allow"),
        );
    }
    Look::works("limits", told)
}

async fn reach(place: &str) -> Result<TcpStream, String> {
    let addresses =
        timeout(PATIENCE, lookup_host(place)).await.map_err(|_| "its name is not resolved in time".to_owned())?;
    let addresses: Vec<SocketAddr> = addresses.map_err(|error| error.to_string())?.collect();
    let connected = timeout(PATIENCE, TcpStream::connect(&addresses[..])).await;
    connected.map_err(|_| format!("no connection within {} s", PATIENCE.as_secs()))?.map_err(|error| error.to_string())
}

/// The place, and the address behind its name.
fn said(place: &str, stream: &TcpStream) -> String {
    match stream.peer_addr() {
        Ok(address) if address.to_string() != place => format!("{place} ({address})"),
        Ok(_) | Err(_) => place.to_owned(),
    }
}

const MDNS: u16 = 5_353;
/// Files that all connections the limits allow may need.
const FILES: u64 = 1_024;
