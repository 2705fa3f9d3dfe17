use super::written::Table;
use super::*;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use wayside_protocols::time::Duration;

fn parse(text: &str) -> ConfigFile {
    ConfigFile::parse(Path::new("w.toml"), text)
}

fn told(text: &str) -> String {
    parse(text).check().map(|_| String::new()).unwrap_or_else(|problems| problems.to_string())
}

#[test]
fn an_empty_file_is_a_working_agent() {
    assert_eq!(parse("").check(), Ok((Config::default(), Vec::new())));
}

#[test]
fn the_defaults_shown_are_the_defaults_meant() {
    assert_eq!(parse(DEFAULTS).check(), Ok((Config::default(), Vec::new())));
}

#[test]
fn the_defaults_shown_name_every_key_and_only_those() {
    let example = uncommented(DEFAULTS);
    let (_, notes) = parse(&example).read();
    let unknown: Vec<_> = notes.findings.problems.iter().filter(|p| p.what.contains("known key")).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let missing: BTreeSet<_> = notes.known.difference(&keys(&parse(&example).table, "")).cloned().collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn five_mistakes_are_told_at_once() {
    let text = "kind = \"truck\"\n[position]\nlat = 91\n[mdns]\nenabled = \"yes\"\nintefaces = []\n\
                [mqtt]\nurl = \"http://broker\"\nkeep_alive = 30\n[[service]]\nname = \"charging\"\n\
                health_check = { kind = \"tcp\", interval_s = 0 }\n";
    insta::assert_snapshot!(told(text), @r#"
    w.toml:1: kind is wrong: kind "truck" is not allowed: gateway, vehicle, roadside, device or software
    w.toml:3: position.lat is 91, outside -90 to 90
    w.toml:3: position.lat is set without lon
      hint: a position takes both lat and lon, in degrees
    w.toml:5: mdns.enabled is a string, but must be true or false
    w.toml:6: mdns.intefaces is not a known key
      hint: did you mean interfaces?
    w.toml:8: mqtt.url is wrong: broker "http://broker" is not of the form mqtt://host:1883 or mqtts://host:8883
    w.toml:9: mqtt.keep_alive has no unit
      hint: write it as text, like "30s"
    w.toml:12: service[0].health_check needs a port to connect to
      hint: set port, or leave health_check out
    w.toml:12: service[0].health_check.interval_s is 0, outside 1 to 3600
    "#);
}

#[test]
fn half_a_position_is_refused() {
    insta::assert_snapshot!(told("[position]\nlat = 48.8\n"), @r#"
    w.toml:2: position.lat is set without lon
      hint: a position takes both lat and lon, in degrees
    "#);
}

#[test]
fn what_is_no_number_is_no_position() {
    insta::assert_snapshot!(told("[position]\nlat = nan\nlon = inf\n"), @r#"
    w.toml:2: position.lat is NaN, outside -90 to 90
    w.toml:3: position.lon is inf, outside -180 to 180
    "#);
}

#[test]
fn text_that_is_not_toml_does_not_hide_the_other_mistakes() {
    insta::assert_snapshot!(told("id = \nkind = \"truck\"\n"), @r#"
    w.toml:1: string values must be quoted, expected literal string
      hint: this is not TOML; text needs "quotes", a table its [brackets]
    w.toml:1: id is wrong: agent id "" is not allowed: 1 to 64 of A-Z a-z 0-9 . _ - :
      hint: a host name without spaces does well
    w.toml:2: kind is wrong: kind "truck" is not allowed: gateway, vehicle, roadside, device or software
    "#);
}

#[test]
fn an_api_that_others_reach_needs_tls_and_a_token() {
    insta::assert_snapshot!(told("[api]\nlisten = \"0.0.0.0:7878\"\ntoken = \"short\"\n"), @r#"
    w.toml:2: api.listen is 0.0.0.0:7878, which others can reach, without [api.tls] and api.token
      hint: listen on 127.0.0.1, or set both
    w.toml:3: api.token has 5 bytes, less than 16
      hint: make one with: head -c 24 /dev/urandom | base64
    "#);
}

#[test]
fn two_services_of_one_id_are_refused() {
    let twice = "[[service]]\nname = \"charging\"\n[[service]]\nname = \"charging\"\n";
    insta::assert_snapshot!(told(twice), @r#"
    w.toml:4: service[1].name charging is taken by another [[service]]
      hint: give each its own id = "…"
    "#);
}

#[test]
fn every_mistake_of_a_segment_is_told_at_once() {
    let text = "[modbus]\nhost_requests_per_s = 0\n[[modbus.segment]]\nname = \"a\"\n\
                targets = [\"10.0.0.0/8\", \"8.8.8.8\", \"plc\"]\ndeny = [\"x\"]\nunits = \"0-300\"\n\
                [[modbus.segment]]\nname = \"a\"\ntargets = [\"10.3.0.9\"]\ndeny = [\"10.3.0.0/24\"]\n";
    let told = told(text);
    for wrong in [
        "w.toml:2: modbus.host_requests_per_s is 0, outside 1 to 1000",
        "w.toml:5: modbus.segment[0].targets 10.0.0.0/8 has more than 1024 addresses",
        "w.toml:5: modbus.segment[0].targets 8.8.8.8 is a public address",
        "w.toml:5: modbus.segment[0].targets \"plc\" is no target",
        "w.toml:6: modbus.segment[0].deny \"x\" is no target",
        "w.toml:7: modbus.segment[0].units is wrong",
        "w.toml:11: modbus.segment[1].deny 10.3.0.9 is denied wholly",
    ] {
        assert!(told.contains(wrong), "{wrong}\n{told}");
    }
}

#[test]
fn a_segment_is_read_as_it_is_meant() {
    let text = "[[modbus.segment]]\nname = \"hall-2\"\ntargets = [\"10.3.0.0/29:503\", \"/dev/ttyUSB0?baud=9600\"]\n\
                deny = [\"10.3.0.2\"]\nscan = true\npriority = 5\nposition = { lat = 48.1, lon = 2.1 }\n";
    let modbus = parse(text).check().unwrap().0.modbus;
    let segment = &modbus.segments[0];
    assert_eq!((segment.segment.targets().len(), segment.segment.denied().len()), (6, 1));
    assert_eq!((segment.scan, segment.priority, segment.position.is_some()), (true, 5, true));
    assert_eq!(modbus.interval, Duration::from_secs(10));
}

#[test]
fn every_mistake_of_an_upstream_and_a_registry_is_told_at_once() {
    insta::assert_snapshot!(told(
        "[[upstream]]\ntier = \"town\"\nurls = [\"r1:7878\", \"http://me:pw@r2\"]\ntimeout = \"1h\"\n\
         [[upstream]]\ntier = \"cloud\"\nurls = []\n[registry]\nengine = \"redis\"\n"
    ), @r#"
    w.toml:2: upstream[0].tier is "town"
      hint: region, cloud
    w.toml:3: upstream[0].urls names "r1:7878"
      hint: a URL begins with http:// or https:// and has a host, and maybe a port, but no path
    w.toml:3: upstream[0].urls names a URL with a user name, and maybe a password
      hint: use token_file: a URL ends up in logs
    w.toml:4: upstream[0].timeout is 1h, outside 10ms to 1m
    w.toml:7: upstream[1].urls is empty
      hint: like ["https://r1:7878"]
    w.toml:9: registry.engine is "redis"
      hint: etcd, nats, memory
    "#);
    let upstream = "[[upstream]]\ntier = \"region\"\n";
    insta::assert_snapshot!(told(&format!(
        "{upstream}urls = [\"http://a\"]\nshard = \"a b\"\n{upstream}urls = [\"http://b\"]\nweight = 2\n\
         {upstream}urls = [\"http://c\"]\nshard = \"c\"\nweight = 1001\n"
    )), @r#"
    w.toml:1: upstream of tier region names 1 shards for 3
      hint: each upstream of a tier is a shard with a name of its own, or none is
    w.toml:4: upstream[0].shard is wrong: id "a b" is not allowed: 1 to 64 of A-Z a-z 0-9 . _ - :
      hint: like "north-1"
    w.toml:8: upstream[1].weight is set without shard
      hint: only shards have a weight
    w.toml:13: upstream[2].weight is 1001, outside 0 to 1000
    "#);
    insta::assert_snapshot!(told("[registry]\nengine = \"etcd\"\n"), @r#"
    w.toml:1: registry.endpoints is missing
      hint: like ["http://127.0.0.1:2379"]
    "#);
}

#[test]
fn regions_are_asked_before_clouds() {
    let text = "[[upstream]]\ntier = \"cloud\"\nurls = [\"http://c\"]\nannounce = false\n\
                [[upstream]]\ntier = \"region\"\nurls = [\"https://r1:7878/\", \"https://r2:7878\"]\n\
                [registry]\nengine = \"etcd\"\nendpoints = [\"http://127.0.0.1:2379\"]\n";
    let (config, warnings) = parse(text).check().unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let tiers: Vec<_> = config.upstreams.iter().map(|upstream| (upstream.tier.as_str(), upstream.urls.len())).collect();
    assert_eq!(tiers, [("region", 2), ("cloud", 1)]);
    assert_eq!((config.upstreams[0].refresh, config.upstreams[1].refresh), (Some(Duration::from_secs(30)), None));
    assert!(matches!(config.registry.unwrap().engine, Engine::Etcd { endpoints } if endpoints.len() == 1));
}

#[test]
fn a_receiver_is_named_by_host_and_port_and_stands_alone() {
    let (config, warnings) = parse("[position]\ngpsd = \"localhost:2947\"\n").check().unwrap();
    assert_eq!((config.gpsd.as_deref(), warnings.len()), (Some("localhost:2947"), 0));
    insta::assert_snapshot!(told("[position]\ngpsd = \"localhost\"\n"), @r#"
    w.toml:2: position.gpsd is "localhost", but must be HOST:PORT
      hint: like "127.0.0.1:2947" or "[::1]:2947"
    "#);
    insta::assert_snapshot!(told("[position]\ngpsd = \"[::1]:2947\"\nlat = 1\nlon = 2\n"), @r#"
    w.toml:2: position.gpsd is set beside lat and lon
      hint: keep one: a receiver, or a fixed place
    "#);
}

#[test]
fn the_environment_lies_over_the_file() {
    let dir = scratch("environment");
    let file = dir.join("wayside.toml");
    std::fs::write(&file, "id = \"a\"\n[api]\nlisten = \"127.0.0.1:1\"\n[limits]\nservices = 100\n").unwrap();
    let set = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
    let environment = [
        set("WAYSIDE_API_LISTEN", "127.0.0.1:2"),
        set("WAYSIDE_LIMITS_SERVICES", "200"),
        set("WAYSIDE_MDNS_ENABLED", "false"),
        set("WAYSIDE_MDNS_BROWSE", "_http._tcp, _ipp._tcp"),
        set("WAYSIDE_AGENT", "http://elsewhere"),
        set("WAYSIDE_SERVICE_HOST", "10.0.0.1"),
    ];
    let (config, warnings) = ConfigFile::load(Some(&file), environment.into_iter()).check().unwrap();
    assert_eq!(config.id.unwrap().as_str(), "a");
    assert_eq!(config.api.listen.to_string(), "127.0.0.1:2");
    assert_eq!((config.limits.core.services, config.mdns.enabled, config.mdns.browse.len()), (200, false, 2));
    assert_eq!(warnings.len(), 1, "only the container platform's variable is unknown: {warnings:?}");
}

#[test]
fn drop_ins_add_services_and_replace_values_in_the_order_of_their_names() {
    let dir = scratch("drop-ins");
    std::fs::create_dir_all(dir.join("wayside.d")).unwrap();
    let file = dir.join("wayside.toml");
    std::fs::write(&file, "kind = \"gateway\"\n[[service]]\nname = \"a\"\n").unwrap();
    std::fs::write(dir.join("wayside.d/20.toml"), "kind = \"vehicle\"\n[[service]]\nname = \"c\"\n").unwrap();
    std::fs::write(dir.join("wayside.d/10.toml"), "kind = \"roadside\"\n[[service]]\nname = \"b\"\n").unwrap();
    std::fs::write(dir.join("wayside.d/30.toml.bak"), "kind = 3").unwrap();
    let (config, _) = ConfigFile::load(Some(&file), std::iter::empty()).check().unwrap();
    assert_eq!(config.kind, Kind::Vehicle);
    let names: Vec<_> = config.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let missing = ConfigFile::load(Some(Path::new("/nonexistent/w.toml")), std::iter::empty());
    let problems = missing.check().unwrap_err();
    assert!(problems.to_string().contains("/nonexistent/w.toml:1: cannot be read: No such file"), "{problems}");
}

#[test]
fn a_broker_needs_what_tls_needs() {
    insta::assert_snapshot!(told("[mqtt]\nurl = \"mqtts://broker\"\ncert_file = \"gw.pem\"\n"), @r#"
    w.toml:3: mqtt.cert_file gw.pem cannot be read: No such file or directory (os error 2)
    w.toml:3: mqtt.cert_file is set without key_file
      hint: a certificate and its key come together
    "#);
    let (config, _) = parse("[mqtt]\nurl = \"mqtt://[::1]:1884/\"\n").check().unwrap();
    let mqtt = config.mqtt.unwrap();
    assert_eq!(mqtt.address.to_string(), "mqtt://[::1]:1884");
}

#[test]
fn a_url_with_a_password_in_it_is_refused_without_repeating_it() {
    let told = told("[mqtt]\nurl = \"mqtt://me:hunter2@broker\"\n");
    assert!(told.contains("holds a user name") && !told.contains("hunter2"), "{told}");
}

/// `DEFAULTS` with every commented setting switched on.
fn uncommented(text: &str) -> String {
    let setting = |line: &&str| {
        let bare = line.trim_start_matches("# ");
        bare.split('#').next().is_some_and(|head| head.starts_with('[') && head.trim_end().ends_with(']'))
            || bare.split_once(" = ").is_some_and(|(key, _)| !key.contains([' ', '(']))
    };
    text.lines().filter(setting).map(|line| line.trim_start_matches("# ")).collect::<Vec<_>>().join("\n")
}

fn keys(table: &Table, path: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, node) in &table.0 {
        let full = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let listed = node.value.list().into_iter().flatten().filter_map(|item| item.value.table());
        for below in node.value.table().into_iter().chain(listed) {
            found.extend(keys(below, &full));
        }
        found.insert(full);
    }
    found
}

#[test]
fn home_assistant_needs_a_broker_and_a_name_that_stays() {
    let wrong = told("[privacy]\nrotate = \"10m\"\n[homeassistant]\nprefix = \"a//b\"\nforget = \"1ms\"\n");
    for wanted in [
        "w.toml:4: homeassistant.prefix is \"a//b\"",
        "w.toml:4: homeassistant.prefix is of no use without [mqtt]",
        "w.toml:4: homeassistant.prefix would tell everybody the id that privacy.rotate hides",
        "w.toml:5: homeassistant.forget is 1ms, outside 1s to 720h",
    ] {
        assert!(wrong.contains(wanted), "{wanted}\n{wrong}");
    }
    let text = "[mqtt]\nurl = \"mqtt://b\"\n[privacy]\n[homeassistant]\n";
    let (config, _) = parse(text).check().unwrap();
    assert_eq!(config.homeassistant.map(|shown| shown.prefix), Some("homeassistant".into()));
    assert!(told("[mqtt]\nurl = \"mqtt://b\"\n[homeassistant]\nprefix = \"wayside/ha\"\n").contains("beside wayside/"));
}

#[cfg(not(feature = "otlp"))]
#[test]
fn what_is_not_in_this_build_is_refused_by_its_name() {
    insta::assert_snapshot!(told("[otlp]\nendpoint = \"http://127.0.0.1:4318\"\n"), @r#"
    w.toml:2: otlp.endpoint is set, but OTLP is not in this build: it is made with --features otlp
      hint: leave [otlp] out; GET /metrics has the same numbers
    "#);
}

#[cfg(feature = "otlp")]
#[test]
fn every_mistake_about_a_collector_is_told_at_once() {
    let said = told("[otlp]\nendpoint = \"collector:4318\"\nsample_ratio = 1.1\ninterval = 5\n");
    for wrong in ["w.toml:2: otlp.endpoint names", "sample_ratio is 1.1, outside 0 to 1", "interval has no unit"] {
        assert!(said.contains(wrong), "{wrong}\n{said}");
    }
    assert!(told("[otlp]\n").contains("otlp.endpoint is missing"));
}

fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("wayside-config-{name}-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&dir));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}
