//! Files with endpoint assignments, for an Envoy on this host that watches them.

use std::io;
use std::path::{Path, PathBuf};

use tokio::fs;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use wayside_core::watch::Filter;
use wayside_protocols::service::ServiceName;
use wayside_protocols::time::Duration;

use crate::api::envoy;
use crate::driver::{Busy, Handle, WatchError, Watching};

/// Keeps `SERVICE.json` in `dir` as it should be, until the agent stops: after each change that is heard of, and every
/// 2 s for what only a registry knows. It is put in place whole, by a rename, and only if it says something new.
/// Takes one of `limits.watchers`; a directory that cannot be written is told of once and tried again.
pub async fn keep(dir: PathBuf, service: ServiceName, handle: Handle) {
    let path = dir.join(format!("{service}.json"));
    let (mut written, mut well) = (Vec::new(), true);
    loop {
        let filter = Filter { name: Some(service.clone()), ..Filter::default() };
        let mut watching = match handle.watch(filter).await {
            Ok(watching) => watching,
            Err(WatchError::Busy(Busy::Stopping)) => return,
            Err(error) => {
                warn!(%service, %error, "its file for Envoy is not kept up");
                sleep(AGAIN).await;
                continue;
            }
        };
        loop {
            match envoy::file(&handle, &service).await {
                Ok(bytes) if bytes == written => {}
                Ok(bytes) => match place(&path, &bytes).await {
                    Ok(()) => {
                        if written.is_empty() || !well {
                            info!(path = %path.display(), "endpoints for Envoy");
                        }
                        (written, well) = (bytes, true);
                    }
                    Err(error) => {
                        if well {
                            warn!(path = %path.display(), %error, "cannot be written");
                        }
                        well = false;
                    }
                },
                Err(Busy::Stopping) => return,
                Err(Busy::Full { .. }) => {}
            }
            if !changed(&mut watching).await {
                break;
            }
        }
    }
}

/// Waits for a change, and takes those that come with it; `false` once the watch is over.
async fn changed(watching: &mut Watching) -> bool {
    match timeout(AGAIN, watching.next()).await {
        Err(_) => return true,
        Ok(None) => return false,
        Ok(Some(_)) => {}
    }
    for _ in 0..MANY {
        match timeout(Duration::ZERO, watching.next()).await {
            Err(_) => return true,
            Ok(None) => return false,
            Ok(Some(_)) => {}
        }
    }
    true
}

/// Whoever looks sees the old or the new, never a part. It is not synced: after a power cut it is written anew.
async fn place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).await?;
    }
    let beside = path.with_extension("new");
    fs::write(&beside, bytes).await?;
    fs::rename(&beside, path).await
}

/// How long a registry's word is not asked for again.
const AGAIN: Duration = Duration::from_secs(2);
/// Changes taken together at the most.
const MANY: usize = 1_024;
