//! Addresses of servers as applications write them: `host:port`, several joined by `;`; and what a host tells.

use std::net::Ipv6Addr;

use crate::{Error, ErrorCode};

/// Checks a list of addresses and returns them one by one, IPv6 addresses in brackets.
pub(crate) fn parse_addresses(text: &str) -> Result<Vec<String>, Error> {
    let all: Vec<String> = text
        .split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(parse_address)
        .collect::<Result<_, _>>()?;
    if all.is_empty() {
        return Err(Error::new(
            ErrorCode::Config,
            "the list of addresses is empty; give host:port, such as 127.0.0.1:9876",
        ));
    }
    Ok(all)
}

fn parse_address(text: &str) -> Result<String, Error> {
    let bad = |why: &str| {
        let shown: String = text.chars().take(80).collect();
        Error::new(
            ErrorCode::Config,
            format!("address '{shown}' {why}; write host:port, such as 127.0.0.1:9876 or [::1]:9876"),
        )
    };
    // As Java does (`NameServerAddressUtils`), the protocol that consoles of clouds show is left out.
    let plain = text.split_once("://").map_or(text, |(_, rest)| rest);
    let (host, port) = plain.rsplit_once(':').ok_or_else(|| bad("has no port"))?;
    let port: u16 =
        port.parse().ok().filter(|port| *port != 0).ok_or_else(|| bad("has no port from 1 to 65535"))?;
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if inner.is_some() || host.contains(':') {
        let ip: Ipv6Addr =
            inner.unwrap_or(host).parse().map_err(|_| bad("is not a host name or an IPv6 address"))?;
        return Ok(format!("[{ip}]:{port}"));
    }
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.is_empty() || !host.chars().all(allowed) {
        return Err(bad("has no host name"));
    }
    Ok(format!("{host}:{port}"))
}

/// The namespace that an address names, as those of clouds do: `MQ_INST_1_a` of `MQ_INST_1_a.region:80`.
pub(crate) fn instance_of(address: &str) -> Option<&str> {
    let (instance, _) = address.split_once('.')?;
    let (first, second) = instance.strip_prefix("MQ_INST_")?.rsplit_once('_')?;
    let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (word(first) && word(second)).then_some(instance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ipv6_are_read() {
        assert_eq!(
            parse_addresses("a:1; b.c-d:65535;[::1]:9876;2001:db8::1:9876;").unwrap(),
            ["a:1", "b.c-d:65535", "[::1]:9876", "[2001:db8::1]:9876"]
        );
    }

    #[test]
    fn bad_addresses_are_named() {
        for bad in
            ["", ";", "a", "a:", ":1", "a:0", "a:65536", "://:1", "http://a/b:1", "[::g]:1", "a b:1", "a:1;b"]
        {
            let error = parse_addresses(bad).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Config, "{bad}");
        }
        assert!(parse_addresses("a:1;b").unwrap_err().to_string().starts_with("address 'b' has no port"));
    }

    #[test]
    fn addresses_of_clouds_name_an_instance() {
        assert_eq!(parse_addresses("http://MQ_INST_1_ab.cn:80").unwrap(), ["MQ_INST_1_ab.cn:80"]);
        assert_eq!(instance_of("MQ_INST_1_ab.cn:80"), Some("MQ_INST_1_ab"));
        for other in ["MQ_INST_1.cn:80", "MQ_INST_1_ab:80", "10.0.0.1:80", "xMQ_INST_1_ab.cn:80"] {
            assert_eq!(instance_of(other), None, "{other}");
        }
    }
}
