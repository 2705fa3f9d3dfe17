//! How keys are named, and written on the wire: etcd's JSON is that of protobuf, with bytes in base64.

use serde_json::Value as Json;
use wayside_protocols::registry::placement::hash;
use wayside_protocols::service::{AgentId, Label};

/// The keys of one registry.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: Box<str>,
}

/// What a key is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// An agent itself.
    Agent(AgentId),
    /// One thing it offers.
    Row(AgentId, Label),
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    pub(super) fn all(&self) -> String {
        format!("{}/", self.prefix)
    }

    pub(super) fn agent(&self, agent: &AgentId) -> String {
        format!("{}/g/{agent}", self.prefix)
    }

    pub(super) fn rows(&self, agent: &AgentId) -> String {
        format!("{}/s/{agent}/", self.prefix)
    }

    pub(super) fn row(&self, agent: &AgentId, id: &Label) -> String {
        format!("{}/s/{agent}/{id}", self.prefix)
    }

    /// What `key` is about; `None` if it is none of ours.
    pub(super) fn about(&self, key: &[u8]) -> Option<About> {
        let rest = std::str::from_utf8(key).ok()?.strip_prefix(&*self.prefix)?;
        if let Some(agent) = rest.strip_prefix("/g/") {
            return Some(About::Agent(agent.parse().ok()?));
        }
        let (agent, id) = rest.strip_prefix("/s/")?.split_once('/')?;
        Some(About::Row(agent.parse().ok()?, id.parse().ok()?))
    }
}

/// The lease of an agent: the same at every node, never 0, and positive as an int64.
pub(super) fn lease(agent: &AgentId) -> i64 {
    // The shift leaves 62 bits, so that adding 1 stays positive.
    (hash(&[b"lease", agent.as_str().as_bytes()]) >> 2) as i64 + 1
}

/// The first key that does not begin with `prefix`: its last byte and one.
pub(super) fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        // A prefix is ASCII, so nothing overflows.
        *last += 1;
    }
    end
}

/// Base64 (RFC 4648 section 4).
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let sextet = (group >> (18 - 6 * place)) & 63;
            text.push(if place <= chunk.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    text
}

/// The bytes in a JSON string; `None` if it is no base64.
pub(super) fn decode(value: &Json) -> Option<Vec<u8>> {
    let text = value.as_str()?.trim_end_matches('=');
    let (mut bytes, mut group, mut bits) = (Vec::with_capacity(text.len() * 3 / 4), 0_u32, 0);
    for byte in text.bytes() {
        let sextet = ALPHABET.iter().position(|letter| *letter == byte)?;
        group = group << 6 | sextet as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((group >> bits) as u8);
        }
    }
    Some(bytes)
}

/// An int64, which JSON has as text; 0 where it is left out.
pub(super) fn int(value: &Json) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(&text.into()).unwrap(), bytes.as_bytes());
        }
        assert_eq!(decode(&"Zm9v!".into()), None);
        assert_eq!(decode(&Json::Null), None);
    }

    #[test]
    fn a_key_is_about_what_it_was_made_of() {
        let (keys, agent, id) = (Keys::new("/wayside"), "gw-7".parse().unwrap(), "cp:1".parse().unwrap());
        assert_eq!(keys.row(&agent, &id), "/wayside/s/gw-7/cp:1");
        assert_eq!(keys.about(keys.agent(&agent).as_bytes()), Some(About::Agent(agent.clone())));
        assert_eq!(keys.about(keys.row(&agent, &id).as_bytes()), Some(About::Row(agent, id)));
        for other in ["/wayside/x/gw-7", "/other/g/gw-7", "/wayside/s/gw-7", "/wayside/g/", "/wayside/s/a/b/c"] {
            assert_eq!(keys.about(other.as_bytes()), None, "{other}");
        }
        assert_eq!(end_of("/wayside/"), b"/wayside0");
    }

    #[test]
    fn every_node_names_the_lease_of_an_agent_alike() {
        let lease = |agent: &str| lease(&agent.parse().unwrap());
        assert_eq!(lease("gw-7"), lease("gw-7"));
        assert!(lease("gw-7") > 0 && lease("gw-7") != lease("gw-8"));
    }
}
