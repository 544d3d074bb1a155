//! Administration: topics, brokers, groups, offsets and single messages, as `mqadmin` does it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use mq_protocol::body::{BrokerData, ClusterInfo, KvTable, TopicRoute};
use mq_protocol::{Frame, Header, RequestCode, fastjson};
use tokio::time::Instant;

use crate::client::Inner as ClientInner;
use crate::remoting::{Bare, success};
use crate::{Error, ErrorCode};

mod groups;
mod messages;
mod topics;

/// Asks NameServers and brokers, and changes what they keep. Clones share the client.
#[derive(Clone)]
pub struct Admin {
    client: Arc<ClientInner>,
}

/// Where something is made or changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// On all masters that the NameServer knows.
    #[default]
    All,
    /// On the masters of a cluster.
    Cluster(String),
    /// On the broker at this address.
    Broker(String),
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("namesrv", &self.client.namesrv.names()).finish_non_exhaustive()
    }
}

impl Admin {
    pub(crate) fn new(client: Arc<ClientInner>) -> Admin {
        Admin { client }
    }

    /// All brokers and the clusters that they form.
    ///
    /// # Errors
    /// `NETWORK`, `TIMEOUT`: no NameServer answers.
    pub async fn cluster(&self) -> Result<ClusterInfo, Error> {
        let frame = self.namesrv(RequestCode::GET_BROKER_CLUSTER_INFO, &Bare).await?;
        read(&frame, "the list of clusters")
    }

    /// What a broker says of itself: version, figures, offsets of its log.
    ///
    /// # Errors
    /// `NETWORK`, `TIMEOUT`: the broker does not answer.
    pub async fn broker_status(&self, address: &str) -> Result<BTreeMap<String, String>, Error> {
        let frame = self.broker(address, RequestCode::GET_BROKER_RUNTIME_INFO, &Bare, Bytes::new()).await?;
        Ok(read::<KvTable>(&frame, "the broker's status")?.table)
    }

    /// A broker's settings, as the properties text that it keeps them in.
    ///
    /// # Errors
    /// `NETWORK`, `TIMEOUT`: the broker does not answer. `DENIED`: it does not tell.
    pub async fn broker_config(&self, address: &str) -> Result<String, Error> {
        let frame = self.broker(address, RequestCode::GET_BROKER_CONFIG, &Bare, Bytes::new()).await?;
        Ok(String::from_utf8_lossy(&frame.body).into_owned())
    }

    /// The addresses of all masters of a target.
    ///
    /// # Errors
    /// `NOT_FOUND`: there is no such cluster, or no broker at all.
    pub async fn masters(&self, target: &Target) -> Result<Vec<String>, Error> {
        if let Target::Broker(address) = target {
            return crate::remoting::parse_addresses(address);
        }
        let info = self.cluster().await?;
        let master = |broker: &BrokerData| broker.broker_addrs.get(&0).cloned();
        let masters: Vec<String> = match target {
            Target::Cluster(name) => {
                let names = info.cluster_addr_table.get(name).ok_or_else(|| {
                    let known: Vec<_> = info.cluster_addr_table.keys().map(String::as_str).collect();
                    Error::new(
                        ErrorCode::NotFound,
                        format!("there is no cluster '{name}'; NameServer knows: {}", known.join(", ")),
                    )
                })?;
                names.iter().filter_map(|name| info.broker_addr_table.get(name)).filter_map(master).collect()
            }
            _ => info.broker_addr_table.values().filter_map(master).collect(),
        };
        if masters.is_empty() {
            return Err(Error::new(
                ErrorCode::NotFound,
                format!(
                    "NameServer {} knows no broker; is one started and registered?",
                    self.client.namesrv.names()
                ),
            ));
        }
        Ok(masters)
    }

    /// Asks the NameServers.
    async fn namesrv<'h, H: Header<'h> + Sync>(&self, code: RequestCode, header: &H) -> Result<Frame, Error> {
        self.client.check_open()?;
        let (frame, peer) =
            self.client.namesrv.call(&self.client.remoting, code, header, self.client.short()).await?;
        success(frame, code, peer.address())
    }

    /// Asks a broker.
    async fn broker<'h, H: Header<'h> + Sync>(
        &self,
        address: &str,
        code: RequestCode,
        header: &H,
        body: Bytes,
    ) -> Result<Frame, Error> {
        self.client.check_open()?;
        let peer = self.client.remoting.peer(address);
        self.client.remoting.ask(&peer, code, header, &body, self.client.short()).await
    }

    /// Asks one broker of each name in a route, the master if there is one.
    async fn each_broker<'h, H: Header<'h> + Sync>(
        &self,
        route: &TopicRoute,
        code: RequestCode,
        header: &H,
    ) -> Result<Vec<(String, Frame)>, Error> {
        let mut answers = Vec::new();
        for broker in &route.broker_datas {
            let Some(address) = broker.broker_addrs.values().next() else { continue };
            let frame = self.broker(address, code, header, Bytes::new()).await?;
            answers.push((broker.broker_name.clone(), frame));
        }
        Ok(answers)
    }

    fn deadline(&self) -> Instant {
        self.client.short()
    }
}

/// Reads a JSON body.
fn read<T: serde::de::DeserializeOwned>(frame: &Frame, what: &str) -> Result<T, Error> {
    // Java leaves the body out where a list is empty.
    let body: &[u8] = if frame.body.is_empty() { b"{}" } else { &frame.body };
    fastjson::from_slice(body)
        .map_err(|error| Error::new(ErrorCode::Broker, format!("{what} cannot be read: {error}")))
}

/// Writes a JSON body.
fn write(value: &impl serde::Serialize) -> Result<Bytes, Error> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| Error::new(ErrorCode::Internal, format!("writing JSON: {error}")))
}
