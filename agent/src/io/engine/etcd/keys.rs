//! How keys are named, and written on the wire: etcd's JSON is that of protobuf, with bytes in base64.

use serde_json::Value as Json;
use wayside_protocols::registry::placement::hash;
use wayside_protocols::service::{AgentId, Label};

use crate::io::engine::About;

/// The keys of one registry.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: Box<str>,
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

    /// The lease of an agent in this registry: the same at every node, never 0, and positive as an int64.
    pub(super) fn lease(&self, agent: &AgentId) -> i64 {
        // The shift leaves 62 bits, so that adding 1 stays positive.
        (hash(&[b"lease", self.prefix.as_bytes(), agent.as_str().as_bytes()]) >> 2) as i64 + 1
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

/// The first key that does not begin with `prefix`: its last byte and one.
pub(super) fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        // A prefix is ASCII, so nothing overflows.
        *last += 1;
    }
    end
}

/// An int64, which JSON has as text; 0 where it is left out.
pub(super) fn int(value: &Json) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn every_node_of_a_registry_names_the_lease_of_an_agent_alike_and_no_other_registry_does() {
        let lease = |prefix: &str, agent: &str| Keys::new(prefix).lease(&agent.parse().unwrap());
        assert_eq!(lease("/a", "gw-7"), lease("/a", "gw-7"));
        assert!(lease("/a", "gw-7") > 0 && lease("/a", "gw-7") != lease("/a", "gw-8"));
        assert_ne!(lease("/a", "gw-7"), lease("/b", "gw-7"), "a goodbye to one is none to the other");
    }
}
