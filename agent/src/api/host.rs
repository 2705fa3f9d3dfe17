//! Who a request was meant for, and which page it came from.
//!
//! A browser can be made to send requests to a loopback address: by a name that points there (DNS rebinding), or by a
//! form on somebody's page. The `Host` it sends gives the first away, the `Origin` the second.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};

use crate::api::listen::Listen;
use crate::api::problem::{FORBIDDEN_HOST, Problem};

/// Which `Host` a request may carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hosts {
    /// Any: who reaches a Unix socket was let in by its mode, and who reaches another address needs the token.
    Any,
    /// Loopback, by name or address.
    Loopback,
}

impl Hosts {
    /// What fits `listen`.
    pub(crate) fn of(listen: &Listen) -> Self {
        match listen {
            Listen::Tcp(address) if address.ip().is_loopback() => Self::Loopback,
            Listen::Tcp(_) | Listen::Unix(_) => Self::Any,
        }
    }

    /// Lets a request pass, or says why not.
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        if *self == Self::Any {
            return Ok(());
        }
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = match (uri.authority(), hosts.next(), hosts.next()) {
            (_, _, Some(_)) => None,
            (Some(authority), _, None) => Some(authority.as_str()),
            (None, Some(host), None) => host.to_str().ok(),
            (None, None, None) => None,
        };
        let Some(host) = host.filter(|host| loopback(host)) else {
            let detail = "Host names another host; here it is localhost, 127.0.0.0/8 or [::1]";
            let given = host.unwrap_or("none, or more than one");
            return Err(Problem::new(&FORBIDDEN_HOST, detail)
                .about("Host", given)
                .limit("localhost, 127.0.0.0/8, [::1]"));
        };
        match headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default()) {
            None => Ok(()),
            Some(origin) if origin.split_once("://").is_some_and(|(_, from)| from == host) => Ok(()),
            Some(origin) => {
                let detail = "the request comes from a page of somebody else";
                Err(Problem::new(&FORBIDDEN_HOST, detail).about("Origin", origin).limit(format!("http://{host}")))
            }
        }
    }
}

fn loopback(host: &str) -> bool {
    let Some(authority) = host.parse::<Authority>().ok().filter(|_| !host.contains('@')) else { return false };
    // An IPv6 address is written in brackets; without them it is no authority.
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    let here = name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let port = authority.as_str().len() == authority.host().len() || authority.port_u16().is_some();
    here && port
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        Hosts::Loopback.check(&Uri::from_static("/"), &headers).is_ok()
    }

    #[test]
    fn a_name_that_was_made_to_point_here_is_refused() {
        for good in ["localhost", "LOCALHOST:7878", "127.0.0.1:7878", "127.8.0.1", "[::1]:7878", "[::1]"] {
            assert!(check(good, None), "{good}");
        }
        for bad in [
            "evil.example",
            "evil.example:7878",
            "10.0.0.1",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "[::1]x",
            "[fe80::1]:7878",
            "localhost:x",
            "",
            "::1",
            "0.0.0.0:7878",
            "user@localhost",
            "user@localhost:7878",
        ] {
            assert!(!check(bad, None), "{bad}");
        }
    }

    #[test]
    fn a_form_on_another_page_is_refused() {
        assert!(check("127.0.0.1:7878", Some("http://127.0.0.1:7878")));
        for bad in ["http://evil.example", "null", "http://127.0.0.1:3000", "http://localhost:7878", ""] {
            assert!(!check("127.0.0.1:7878", Some(bad)), "{bad}");
        }
    }

    #[test]
    fn no_host_and_two_hosts_are_refused() {
        let mut headers = HeaderMap::new();
        assert!(Hosts::Loopback.check(&Uri::from_static("/"), &headers).is_err());
        headers.append(header::HOST, "localhost".parse().unwrap());
        headers.append(header::HOST, "evil.example".parse().unwrap());
        assert!(Hosts::Loopback.check(&Uri::from_static("/"), &headers).is_err());
    }
}
