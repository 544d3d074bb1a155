//! The page of all settings, `core/SETTINGS.md`: what is committed is what the tables say.
//!
//! `MQ_WRITE_SETTINGS=1 cargo test -p mq-binding --test settings_page` writes it anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;

use mq_binding::{Kind, Scope, Setting, settings};
use mq_broker::{BrokerConfig, NameServerConfig};

const HEAD: &str = "\
# All settings

Generated from the tables in `core/client/src/config.rs` and `core/broker/src/config` by
`MQ_WRITE_SETTINGS=1 cargo test -p mq-binding --test settings_page`; do not edit.

Settings are pairs of texts, the same in all languages: a name in snake case, or the name that Apache's Java client has for it. An
unknown name is an error that names the nearest one. Languages have options of their own for the usual settings and take all of them
in a map.

Durations are numbers with a unit, `ms`, `s`, `m` or `h`; a bare number counts milliseconds (minutes where the table says so). Sizes
are in bytes unless it says mebibytes.
";

#[test]
fn the_page_is_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../SETTINGS.md");
    let page = page();
    if std::env::var_os("MQ_WRITE_SETTINGS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    let differs = page.lines().zip(committed.lines()).find(|(new, old)| new != old);
    assert!(
        committed == page,
        "core/SETTINGS.md is not what the tables say (first at {differs:?}); run this test with MQ_WRITE_SETTINGS=1"
    );
}

fn page() -> String {
    let mut page = String::from(HEAD);
    let parts = [
        (Scope::Client, "Client", "Shared by all producers and consumers that are made from a client."),
        (Scope::Producer, "Producer", ""),
        (Scope::PushConsumer, "Push consumer", ""),
        (Scope::PullConsumer, "Pull consumer", ""),
    ];
    for (scope, title, text) in parts {
        chapter(&mut page, title, text);
        page.push_str(
            "| name | in Java | value | default | from … to | what it is |\n|---|---|---|---|---|---|\n",
        );
        for setting in settings().iter().filter(|setting| setting.scope == scope) {
            let name = format!("`{}`", setting.name);
            let alias = setting.alias.map_or(String::new(), |alias| format!("`{alias}`"));
            let value = value(setting.kind);
            row(&mut page, &[&name, &alias, &value, &default(setting), &limits(setting), setting.doc]);
        }
    }
    chapter(
        &mut page,
        "Broker",
        "The keys of Apache's `broker.conf`, for `mq broker -c FILE` and for the embedded broker, which takes them in snake case too. \
         Of the embedded broker `data_dir` stands for `storePathRootDir`, `listen_port` for `listenPort` and `namesrv_port` for \
         `namesrvListenPort`; without them it has a temporary directory and free ports. Live settings take effect at once when \
         `mqadmin updateBrokerConfig` changes them, the others with the next start.",
    );
    server(&mut page, BrokerConfig::TABLE);
    chapter(
        &mut page,
        "NameServer",
        "Keys of Apache's `namesrv.conf`, for a NameServer that runs by itself.",
    );
    server(&mut page, NameServerConfig::TABLE);
    page
}

fn chapter(page: &mut String, title: &str, text: &str) {
    write!(page, "\n## {title}\n\n").unwrap();
    if !text.is_empty() {
        write!(page, "{text}\n\n").unwrap();
    }
}

fn server(page: &mut String, table: &[mq_broker::Setting]) {
    page.push_str("| name | value | default | live | what it is |\n|---|---|---|---|---|\n");
    for setting in table {
        let name = format!("`{}`", setting.key);
        let live = if setting.takes_effect == mq_broker::TakesEffect::Live { "yes" } else { "" };
        row(page, &[&name, setting.expected, &code(&(setting.default)()), live, setting.doc]);
    }
}

fn row(page: &mut String, cells: &[&str]) {
    for cell in cells {
        write!(page, "| {} ", cell.replace('|', "\\|").replace('\n', " ").trim()).unwrap();
    }
    page.push_str("|\n");
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

/// What a value looks like.
fn value(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Addresses => "`host:port;host:port`".to_owned(),
        Kind::Bool => "`true`, `false`".to_owned(),
        Kind::Integer => "number".to_owned(),
        Kind::Integers => "numbers, joined by commas".to_owned(),
        Kind::Millis => "duration".to_owned(),
        Kind::Minutes => "duration; a bare number counts minutes".to_owned(),
        Kind::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
    }
}

fn default(setting: &Setting) -> String {
    match setting.kind {
        Kind::Integer => code(&grouped(&setting.default)),
        _ => code(&setting.default),
    }
}

fn limits(setting: &Setting) -> String {
    let Some((min, max)) = setting.limits else { return String::new() };
    let show = |limit: i64| match setting.kind {
        Kind::Millis | Kind::Minutes => duration(limit),
        _ => grouped(&limit.to_string()),
    };
    format!("{} … {}", show(min), show(max))
}

fn duration(millis: i64) -> String {
    match millis {
        0 => "0".to_owned(),
        m if m % 3_600_000 == 0 => format!("{}h", m / 3_600_000),
        m if m % 60_000 == 0 => format!("{}m", m / 60_000),
        m if m % 1000 == 0 => format!("{}s", m / 1000),
        m => format!("{m}ms"),
    }
}

/// A number with its thousands apart, as a value may be written.
fn grouped(number: &str) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("-", digits));
    if digits.len() < 5 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return number.to_owned();
    }
    let mut out = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push('_');
        }
        out.push(digit);
    }
    out
}
