//! How keys are named: subjects of a bucket, `$KV.{bucket}.g.{agent}` and `$KV.{bucket}.s.{agent}.{id}`.

use wayside_protocols::service::{AgentId, Label};

use crate::io::engine::About;

/// The keys of one registry.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    bucket: Box<str>,
}

impl Keys {
    /// The bucket is called like the prefix, without what a bucket cannot be called.
    pub(super) fn new(prefix: &str) -> Self {
        let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        Self { bucket: prefix.trim_start_matches('/').chars().map(safe).collect() }
    }

    /// The stream under the bucket.
    pub(super) fn stream(&self) -> String {
        format!("KV_{}", self.bucket)
    }

    pub(super) fn all(&self) -> String {
        format!("$KV.{}.>", self.bucket)
    }

    pub(super) fn agent(&self, agent: &AgentId) -> String {
        format!("$KV.{}.g.{}", self.bucket, token(agent.as_str()))
    }

    pub(super) fn rows(&self, agent: &AgentId) -> String {
        format!("$KV.{}.s.{}.*", self.bucket, token(agent.as_str()))
    }

    pub(super) fn row(&self, agent: &AgentId, id: &Label) -> String {
        format!("$KV.{}.s.{}.{}", self.bucket, token(agent.as_str()), token(id.as_str()))
    }

    /// What `subject` is about; `None` if it is none of ours.
    pub(super) fn about(&self, subject: &str) -> Option<About> {
        let rest = subject.strip_prefix("$KV.")?.strip_prefix(&*self.bucket)?.strip_prefix('.')?;
        let mut tokens = rest.split('.');
        let about = match (tokens.next()?, tokens.next()?, tokens.next()) {
            ("g", agent, None) => About::Agent(text(agent)?.parse().ok()?),
            ("s", agent, Some(id)) => About::Row(text(agent)?.parse().ok()?, text(id)?.parse().ok()?),
            _ => return None,
        };
        tokens.next().is_none().then_some(about)
    }
}

/// A name as one token of a subject, of what other clients allow in a key: `=2e` stands for a point.
fn token(name: &str) -> String {
    let mut token = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => token.push(char::from(byte)),
            other => token.push_str(&format!("={other:02x}")),
        }
    }
    token
}

fn text(token: &str) -> Option<String> {
    let mut parts = token.split('=');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_about_what_it_was_made_of() {
        let (keys, agent, id): (_, AgentId, Label) =
            (Keys::new("/wayside/eu.1"), "gw-7.site".parse().unwrap(), "cp:1".parse().unwrap());
        assert_eq!(keys.row(&agent, &id), "$KV.wayside_eu_1.s.gw-7=2esite.cp=3a1");
        assert_eq!(keys.about(&keys.agent(&agent)), Some(About::Agent(agent.clone())));
        assert_eq!(keys.about(&keys.row(&agent, &id)), Some(About::Row(agent, id)));
        for other in [
            "$KV.wayside.g.a",
            "$KV.wayside_eu_1.g",
            "$KV.wayside_eu_1.s.a",
            "$KV.wayside_eu_1.g.a.b",
            "$KV.wayside_eu_1.g.=",
            "$KV.wayside_eu_1.s.a.b.c",
        ] {
            assert_eq!(keys.about(other), None, "{other}");
        }
    }
}
