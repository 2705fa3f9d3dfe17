//! `[homeassistant]`: devices as entities of Home Assistant.

use wayside_protocols::time::Duration;

use super::section::{Section, text};

/// How devices are shown to Home Assistant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeAssistant {
    /// Where Home Assistant looks for what there is.
    pub prefix: Box<str>,
    /// How often the values of a device are read.
    pub interval: Duration,
    /// How long a device that is gone is still shown, as unavailable.
    pub forget: Duration,
}

/// Reads `[homeassistant]`; without it nothing is shown.
pub(super) fn read(root: &mut Section<'_, '_>, rotates: bool) -> Option<HomeAssistant> {
    let (written, mqtt) = (root.has("homeassistant"), root.has("mqtt"));
    root.table("homeassistant", |section| {
        let prefix = section.take("prefix", |node| {
            let given = text(node)?;
            let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
            let level = |level: &str| !level.is_empty();
            let right = given.len() <= 128 && given.bytes().all(safe) && given.split('/').all(level);
            if right && given.split('/').next() != Some("wayside") {
                return Ok(Box::from(given));
            }
            let hint = "levels of A-Z a-z 0-9 . _ - as Home Assistant has them, beside wayside/".to_owned();
            Err((format!("is {given:?}"), hint))
        });
        let interval = section.duration("interval", SECOND, HOUR).unwrap_or(INTERVAL);
        let forget = section.duration("forget", SECOND, HOUR * 24 * 30).unwrap_or(HOUR * 24);
        if !written {
            return None;
        }
        if !mqtt {
            section.complain("prefix", "is of no use without [mqtt]", "say there which broker Home Assistant has");
        }
        if rotates {
            let what = "would tell everybody the id that privacy.rotate hides";
            section.complain("prefix", what, "keep one of [homeassistant] and privacy.rotate");
        }
        Some(HomeAssistant { prefix: prefix.unwrap_or_else(|| PREFIX.into()), interval, forget })
    })
}

const PREFIX: &str = "homeassistant";
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const INTERVAL: Duration = Duration::from_secs(30);
