//! The configuration as written, fit to be shown to strangers.

use std::fmt::Write as _;

use super::file::ConfigFile;
use super::written::{Table, Value};

impl ConfigFile {
    /// A line for each value, `api.listen = "…"  # FILE:LINE`, with files, drop-ins and environment laid over each
    /// other. A value whose key speaks of a secret is not shown, nor a URL that names a user.
    pub fn masked(&self) -> Vec<String> {
        let mut lines = Vec::new();
        table("", &self.table, &mut lines);
        lines.extend(self.unreadable.iter().map(|problem| format!("# {}: not TOML", problem.origin)));
        lines
    }
}

fn table(above: &str, table: &Table, lines: &mut Vec<String>) {
    for (key, node) in &table.0 {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        if secret(key) {
            lines.push(format!("{path} = {MASK}  # {}", node.origin));
        } else if let Some(below) = node.value.table() {
            self::table(&path, below, lines);
        } else if let Some(list) = node.value.list().filter(|list| list.iter().any(|item| item.value.table().is_some()))
        {
            for (index, below) in list.iter().enumerate().filter_map(|(index, item)| Some((index, item.value.table()?)))
            {
                self::table(&format!("{path}[{index}]"), below, lines);
            }
        } else {
            lines.push(format!("{path} = {}  # {}", plain(&node.value), node.origin));
        }
    }
}

/// Whether the value of this key is nobody's business. A path to a secret is none.
fn secret(key: &str) -> bool {
    let key = key.to_lowercase();
    !key.ends_with("_file")
        && ["token", "password", "passwd", "secret", "credential", "key"].iter().any(|word| key.contains(word))
}

fn plain(value: &Value) -> String {
    match value {
        Value::Text(text) if names_a_user(text) => MASK.to_owned(),
        Value::Text(text) => format!("{text:?}"),
        Value::Whole(whole) => whole.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::Date => "a date".to_owned(),
        Value::List(list) => {
            let mut text = "[".to_owned();
            for (index, item) in list.iter().enumerate() {
                // Writing to a String cannot fail.
                let _ = write!(text, "{}{}", if index > 0 { ", " } else { "" }, plain(&item.value));
            }
            text + "]"
        }
        Value::Table(_) => "{…}".to_owned(),
    }
}

fn names_a_user(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or(rest).contains('@'))
}

const MASK: &str = "(not shown)";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_secret_is_not_shown_wherever_it_stands_and_all_else_is_with_its_place() {
        let text = "id = \"gw-1\"\n[api]\ntoken = \"hunter2hunter2hunter2\"\n[mqtt]\nurl = \"mqtt://me:hunter2@h\"\n\
                    password_file = \"p\"\n[[service]]\nname = \"a\"\nmetadata = { api_key = \"hunter2\", floor = 2 }\n\
                    [[upstream]]\nurls = [\"http://u:hunter2@r\", \"http://r/@\"]\n";
        let lines = ConfigFile::parse(Path::new("w.toml"), text).masked();
        assert!(!lines.iter().any(|line| line.contains("hunter2")), "{lines:#?}");
        for line in [
            "id = \"gw-1\"  # w.toml:1",
            "api.token = (not shown)  # w.toml:3",
            "mqtt.url = (not shown)  # w.toml:5",
            "mqtt.password_file = \"p\"  # w.toml:6",
            "service[0].metadata.api_key = (not shown)  # w.toml:9",
            "service[0].metadata.floor = 2  # w.toml:9",
            "upstream[0].urls = [(not shown), \"http://r/@\"]  # w.toml:11",
        ] {
            assert!(lines.iter().any(|known| known == line), "no {line} in {lines:#?}");
        }
    }
}
