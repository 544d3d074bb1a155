//! Asking an HTTP server for the addresses of the NameServers (`DefaultTopAddressing`).

use std::time::Duration;

use super::parse_addresses;
use crate::{ClientConfig, Error, ErrorCode};

/// Port of the server if its name has none.
const PORT: u16 = 8080;
/// A list of addresses that is longer than this is none.
const LARGEST: u64 = 64 * 1024;

pub(super) struct Discovery {
    url: String,
    limit: Duration,
}

impl Discovery {
    pub(super) fn new(config: &ClientConfig) -> Discovery {
        Discovery { url: url(config), limit: config.request_timeout }
    }

    /// The addresses as the server gives them now.
    pub(super) async fn ask(&self) -> Result<Vec<String>, Error> {
        let (url, limit) = (self.url.clone(), self.limit);
        // The HTTP client blocks, so it gets a thread of the runtime's that may.
        let text = tokio::task::spawn_blocking(move || get(&url, limit)).await;
        let text = text.map_err(|error| {
            Error::new(ErrorCode::Internal, format!("asking {} ended early: {error}", self.url))
        })?;
        let text = text.map_err(|error| {
            Error::new(
                ErrorCode::Network,
                format!("{} does not tell the NameServers: {error}; check 'namesrv_domain'", self.url),
            )
        })?;
        let line = text.trim().lines().next().unwrap_or_default();
        parse_addresses(line).map_err(|error| error.context(format_args!("the answer of {}", self.url)))
    }
}

fn get(url: &str, limit: Duration) -> Result<String, ureq::Error> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(limit)).proxy(None).build().into();
    agent.get(url).call()?.body_mut().with_config().limit(LARGEST).read_to_string()
}

/// `MixAll.getWSAddr` with the unit that `DefaultTopAddressing` adds.
fn url(config: &ClientConfig) -> String {
    let domain = config.namesrv_domain.trim();
    let port = if domain.contains(':') { String::new() } else { format!(":{PORT}") };
    let unit = match config.unit_name.trim() {
        "" => String::new(),
        unit => format!("-{unit}?nofix=1"),
    };
    format!("http://{domain}{port}/rocketmq/{}{unit}", config.namesrv_domain_subgroup.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_javas() {
        let mut config = ClientConfig { namesrv_domain: "ns.example".to_owned(), ..ClientConfig::default() };
        assert_eq!(url(&config), "http://ns.example:8080/rocketmq/nsaddr");
        config.namesrv_domain = "ns.example:80".to_owned();
        config.namesrv_domain_subgroup = "east".to_owned();
        config.unit_name = "u1".to_owned();
        assert_eq!(url(&config), "http://ns.example:80/rocketmq/east-u1?nofix=1");
    }
}
