//! Java properties text (`java.util.Properties`), in which `broker.conf` and the admin tools' settings are written.

use std::collections::BTreeMap;

use super::ConfigError;

/// All pairs of a properties text in order.
pub(super) fn read(text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let mut pairs = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = line.to_owned();
        while ends_in_odd_backslashes(&logical) {
            logical.pop();
            match lines.next() {
                Some((_, next)) => logical.push_str(next.trim_start()),
                None => break,
            }
        }
        let bad = || ConfigError::Line { line: number + 1, text: line.chars().take(200).collect() };
        let (key, value) = split(&logical).ok_or_else(bad)?;
        pairs.push((unescape(key).ok_or_else(bad)?, unescape(value).ok_or_else(bad)?));
    }
    Ok(pairs)
}

fn ends_in_odd_backslashes(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Key and value: the key ends at the first `=`, `:` or blank that is not escaped.
fn split(line: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    let end = line.find(|c: char| {
        let ends = !escaped && (c == '=' || c == ':' || c.is_ascii_whitespace());
        escaped = c == '\\' && !escaped;
        ends
    })?;
    let (key, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (!key.is_empty()).then(|| (key, value.trim()))
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next()? {
            't' => out.push('\t'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            'f' => out.push('\u{c}'),
            'u' => {
                let digits = chars.as_str().get(..4)?;
                out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
                chars = chars.as_str().get(4..)?.chars();
            }
            other => out.push(other),
        }
    }
    Some(out)
}

/// Properties text of a map, one pair a line.
pub(crate) fn write(map: &BTreeMap<&'static str, String>) -> String {
    let mut text = String::new();
    for (key, value) in map {
        text.push_str(key);
        text.push('=');
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '\t' => text.push_str("\\t"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                c => text.push(c),
            }
        }
        text.push('\n');
    }
    text
}
