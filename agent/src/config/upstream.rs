//! `[[upstream]]`: the registries of the region and the cloud.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use hyper::Uri;
use wayside_core::query::Tier;
use wayside_core::upstream::Keeping;
use wayside_protocols::registry::placement::Shard;
use wayside_protocols::service::Label;
use wayside_protocols::time::Duration;

use super::mqtt::pem;
use super::section::{Complaint, Section, text};

/// One upstream: a registry of one or more nodes that hold the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Region or cloud.
    pub tier: Tier,
    /// Its nodes.
    pub urls: Vec<Uri>,
    /// How long one of them may take.
    pub timeout: Duration,
    /// How often it is told that this agent is there; `None` tells it nothing of what this agent offers.
    pub refresh: Option<Duration>,
    /// Which shard of its tier's registry it is.
    pub shard: Option<Shard>,
    /// How long its answers are kept.
    pub keeping: Keeping,
    /// PEM with the authorities its certificates may come from; those of the system if none.
    pub ca_file: Option<PathBuf>,
    /// PEM with the agent's own certificate and with its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The file with what it is shown as `Authorization: Bearer`, read at the start.
    pub token_file: Option<PathBuf>,
}

/// Every upstream, regions before clouds.
pub(super) fn read(root: &mut Section<'_, '_>) -> Vec<Upstream> {
    let mut upstreams: Vec<Upstream> = root.tables("upstream", one).into_iter().flatten().collect();
    upstreams.sort_by_key(|upstream| upstream.tier);
    for tier in [Tier::Region, Tier::Cloud] {
        let named = upstreams.iter().filter(|upstream| upstream.tier == tier).map(|upstream| upstream.shard.as_ref());
        let named: Vec<Option<&str>> = named.map(|shard| shard.map(|shard| &*shard.name)).collect();
        let distinct: BTreeSet<_> = named.iter().flatten().collect();
        if !distinct.is_empty() && distinct.len() < named.len() {
            let hint = "each upstream of a tier is a shard with a name of its own, or none is";
            root.complain(
                "upstream",
                format!("of tier {} names {} shards for {}", tier.as_str(), distinct.len(), named.len()),
                hint,
            );
        }
    }
    upstreams
}

fn one(section: &mut Section<'_, '_>) -> Option<Upstream> {
    let tier = section.take("tier", |node| match text(node)? {
        "region" => Ok(Tier::Region),
        "cloud" => Ok(Tier::Cloud),
        other => Err((format!("is {other:?}"), "region, cloud".to_owned())),
    });
    if !section.has("tier") {
        section.complain("tier", "is missing", "region, cloud");
    }
    let urls = urls(section, "urls", &Urls::web("like [\"https://r1:7878\"]"));
    let timeout = section.duration("timeout", Duration::from_millis(10), Duration::from_secs(60));
    let announce = section.flag("announce").unwrap_or(true);
    let refresh = section.duration("refresh", Duration::from_secs(1), Duration::from_secs(3_600)).unwrap_or(REFRESH);
    let keeping = keeping(section);
    let [ca_file, cert_file, key_file] = ["ca_file", "cert_file", "key_file"].map(|key| pem(section, key));
    for (given, missing) in [("cert_file", "key_file"), ("key_file", "cert_file")] {
        if section.has(given) && !section.has(missing) {
            section.complain(given, format!("is set without {missing}"), "a certificate and its key come together");
        }
    }
    let plain = urls.iter().any(|url| url.scheme_str() == Some("http"));
    if plain && (section.has("ca_file") || section.has("cert_file")) {
        section.complain("urls", "names http://, where ca_file and cert_file would not be used", "write https://");
    }
    let token_file = token(section, &urls);
    let shard = shard(section);
    Some(Upstream {
        tier: tier?,
        timeout: timeout.unwrap_or(TIMEOUT),
        refresh: announce.then_some(refresh),
        shard,
        keeping,
        ca_file,
        identity: cert_file.zip(key_file),
        token_file,
        urls,
    })
}

fn shard(section: &mut Section<'_, '_>) -> Option<Shard> {
    let name = section.parsed::<Label>("shard", "like \"north-1\"");
    let weight = section.number("weight", 0.0, MAX_WEIGHT);
    if weight.is_some() && name.is_none() {
        section.complain("weight", "is set without shard", "only shards have a weight");
    }
    Some(Shard { name: name?.as_str().into(), weight: weight.unwrap_or(1.0) })
}

fn keeping(section: &mut Section<'_, '_>) -> Keeping {
    let second = Duration::from_secs(1);
    let mut keeping = Keeping::default();
    for (key, kept) in [
        ("cache_ttl", &mut keeping.ttl),
        ("cache_negative", &mut keeping.negative),
        ("cache_refresh", &mut keeping.refresh),
        ("cache_stale", &mut keeping.stale),
    ] {
        if let Some(given) = section.duration(key, second, Duration::from_secs(604_800)) {
            *kept = given;
        }
    }
    if let Some(bytes) = section.whole("cache_bytes", 65_536, 1 << 30).and_then(|bytes| usize::try_from(bytes).ok()) {
        keeping.bytes = bytes;
    }
    keeping
}

/// Which URLs are meant.
pub(super) struct Urls<'a> {
    /// How one begins without TLS, and with it.
    pub(super) plain: &'a str,
    pub(super) secure: &'a str,
    /// What they look like.
    pub(super) hint: &'a str,
}

impl<'a> Urls<'a> {
    /// Those of the web.
    pub(super) const fn web(hint: &'a str) -> Self {
        Self { plain: "http", secure: "https", hint }
    }
}

/// URLs of nodes: no path, no user, at least one.
pub(super) fn urls(section: &mut Section<'_, '_>, key: &'static str, wanted: &Urls<'_>) -> Vec<Uri> {
    let hint = wanted.hint;
    let written = section.texts(key);
    if written.as_ref().is_none_or(Vec::is_empty) && (written.is_some() || !section.has(key)) {
        section.complain(key, if section.has(key) { "is empty" } else { "is missing" }, hint);
    }
    let mut urls = Vec::new();
    for given in written.iter().flatten() {
        match url(given, wanted) {
            Ok(url) if urls.contains(&url) => section.complain(key, format!("names {given:?} twice"), ""),
            Ok(url) => urls.push(url),
            Err((what, hint)) => section.complain(key, what, hint),
        }
    }
    if urls.len() > MAX_NODES {
        section.complain(key, format!("names {} nodes, more than {MAX_NODES}", urls.len()), "");
    }
    urls
}

/// One of them.
pub(super) fn url(given: &str, wanted: &Urls<'_>) -> Result<Uri, Complaint> {
    let Urls { plain, secure, .. } = wanted;
    if given.contains('@') {
        let what = "names a URL with a user name, and maybe a password".to_owned();
        return Err((what, "use token_file: a URL ends up in logs".to_owned()));
    }
    let hint = || format!("a URL begins with {plain}:// or {secure}:// and has a host, and maybe a port, but no path");
    let wrong = || (format!("names {given:?}"), hint());
    let uri: Uri = given.trim_end_matches('/').parse().map_err(|_| wrong())?;
    let scheme = uri.scheme_str().filter(|scheme| [plain, secure].contains(&scheme)).ok_or_else(wrong)?;
    if scheme == *secure && !cfg!(feature = "tls") {
        let hint = format!("use {plain}:// on a network you trust");
        return Err((format!("names {given:?}, which wants TLS, which is not in this build"), hint));
    }
    let bare =
        ["", "/"].contains(&uri.path()) && uri.query().is_none() && uri.host().is_some_and(|host| !host.is_empty());
    if bare { Ok(uri) } else { Err(wrong()) }
}

/// A file with a token that is only shown where nobody listens in.
pub(super) fn token(section: &mut Section<'_, '_>, urls: &[Uri]) -> Option<PathBuf> {
    let path = section.path("token_file")?;
    if let Err(error) = fs::read_to_string(&path) {
        section.complain("token_file", format!("{} cannot be read: {error}", path.display()), "");
    }
    let here =
        |url: &Uri| url.host().is_some_and(|host| host == "localhost" || host.starts_with("127.") || host == "[::1]");
    if urls.iter().any(|url| url.scheme_str() == Some("http") && !here(url)) {
        section.complain("token_file", "would be sent in the clear to an http:// URL", "write https://");
    }
    Some(path)
}

/// How long a node may take unless said otherwise.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How often a registry is told that this agent is there unless said otherwise.
const REFRESH: Duration = Duration::from_secs(30);
/// How much more than another a shard may take.
const MAX_WEIGHT: f64 = 1_000.0;
/// Nodes of one upstream.
const MAX_NODES: usize = 16;
