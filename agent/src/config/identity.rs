//! Who this agent is when nobody says.

use std::fs;
use std::path::Path;

use wayside_protocols::service::AgentId;

/// The id in the configuration, else one that this machine keeps over restarts: from `/etc/machine-id`, from the host
/// name, or made up once and kept in the state directory.
pub fn agent_id(configured: Option<&AgentId>, state_dir: &Path, seed: u64) -> AgentId {
    if let Some(id) = configured {
        return id.clone();
    }
    let machine = fs::read_to_string("/etc/machine-id").ok().filter(|id| id.trim().len() >= 16);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let named = Some(host).filter(|host| !matches!(host.as_str(), "" | "localhost" | "(none)"));
    let word = match machine.or(named) {
        Some(word) => digest(word.trim().as_bytes()),
        None => kept(state_dir, digest(&seed.to_le_bytes())),
    };
    // Eight hexadecimal digits behind a fixed word are always a legal id.
    format!("wayside-{word:08x}").parse().unwrap_or_else(|_| unreachable!("wayside-{word:08x} is a legal id"))
}

/// 32 bits of what identifies the machine. `/etc/machine-id` is confidential (machine-id(5)): from 32 bits of 128
/// nobody gets it back.
fn digest(bytes: &[u8]) -> u32 {
    // FNV-1a, begun with our own name so that no other program's id is the same, then mixed (MurmurHash3's finish).
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut hash = b"wayside agent id".iter().chain(bytes).fold(0xcbf2_9ce4_8422_2325, fold);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (hash >> 32) as u32
}

/// The number kept in the state directory; `fresh`, and kept from now on, if there is none. Where it cannot be kept it
/// differs after each start, which neighbours see as one agent lost and another found.
fn kept(state_dir: &Path, fresh: u32) -> u32 {
    let file = state_dir.join("id");
    let known = fs::read_to_string(&file).ok().and_then(|text| u32::from_str_radix(text.trim(), 16).ok());
    known.unwrap_or_else(|| {
        if let Err(error) = fs::write(&file, format!("{fresh:08x}\n")) {
            tracing::warn!(file = %file.display(), %error, "the made-up id cannot be kept; set id in the configuration");
        }
        fresh
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_is_the_id() {
        let id = "gw-7".parse().unwrap();
        assert_eq!(agent_id(Some(&id), Path::new("/nonexistent"), 1), id);
    }

    #[test]
    fn the_id_never_holds_the_machine_id() {
        let machine = "0123456789abcdef0123456789abcdef";
        assert!(!machine.contains(&format!("{:08x}", digest(machine.as_bytes()))));
        assert_ne!(digest(b"a"), digest(b"b"));
    }
}
