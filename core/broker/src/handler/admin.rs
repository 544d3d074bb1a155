//! The broker itself for admins: runtime figures and settings (`AdminBrokerProcessor`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mq_protocol::body::{HaStatus, KvTable};
use mq_protocol::header::{GetBrokerConfigResponse, ViewStatsRequest};
use mq_protocol::{Frame, ResponseCode};
use mq_store::fs::DiskSpace;
use tracing::info;

use crate::broker::State;
use crate::config::{BrokerConfig, only_live_changes, write_properties};
use crate::server::{Call, Refusal, Reply, reply};
use crate::service::now_millis;
use crate::service::stats::Meter;

/// Settings that nobody may change over the network (`configBlackList`).
const BLACK_LIST: [&str; 2] = ["configBlackList", "brokerConfigPath"];
/// How Apache's programs write the version that [`mq_protocol::VERSION`] stands for.
const VERSION_NAME: &str = "V5_3_3";

/// Rates over 10, 60 and 600 seconds.
fn rates(meters: &[&Meter]) -> String {
    let sum = |seconds| meters.iter().map(|meter| meter.rate(Duration::from_secs(seconds))).sum::<f64>();
    format!("{} {} {}", sum(10), sum(60), sum(600))
}

fn duration_text(millis: i64) -> String {
    let seconds = millis / 1000;
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    format!("[ {days} days, {hours} hours, {} minutes, {} seconds ]", seconds / 60 % 60, seconds % 60)
}

pub(super) fn runtime_info(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let stats = &state.stats;
    let store = state.store.status();
    let days = stats.days();
    let (put, put_bytes) = stats.puts();
    let (puts, bytes) = (put.total(), put_bytes.total());
    let now = now_millis();
    let mut table: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |key: &str, value: String| {
        table.insert(key.to_owned(), value);
    };
    set("brokerVersionDesc", VERSION_NAME.to_owned());
    set("brokerVersion", mq_protocol::VERSION.to_string());
    set("brokerActive", "true".to_owned());
    set("bootTimestamp", stats.boot.to_string());
    set("runtime", duration_text(now - stats.boot));
    set("startAcceptSendRequestTimeStamp", state.config().start_accept_send_request_time_stamp.to_string());
    set("msgPutTotalYesterdayMorning", days.put_yesterday.to_string());
    set("msgPutTotalTodayMorning", days.put_today.to_string());
    set("msgPutTotalTodayNow", puts.to_string());
    set("msgGetTotalYesterdayMorning", days.got_yesterday.to_string());
    set("msgGetTotalTodayMorning", days.got_today.to_string());
    set("msgGetTotalTodayNow", stats.gets().total().to_string());
    set("putTps", rates(&[put]));
    set("getFoundTps", rates(&[&stats.found]));
    set("getMissTps", rates(&[&stats.missed]));
    set("getTotalTps", rates(&[&stats.found, &stats.missed]));
    set("getTransferredTps", rates(&[stats.gets()]));
    set("putMessageTimesTotal", puts.to_string());
    set("putMessageFailedTimes", stats.put_failed.total().to_string());
    set("putMessageSizeTotal", bytes.to_string());
    set("putMessageAverageSize", bytes.checked_div(puts).unwrap_or(0).to_string());
    set("putMessageEntireTimeMax", stats.put_max_millis.load(Ordering::Relaxed).to_string());
    set("commitLogMinOffset", store.min_physical_offset.to_string());
    set("commitLogMaxOffset", store.max_physical_offset.to_string());
    let ratio = |disk: Option<DiskSpace>| {
        disk.map_or_else(|| "-1".to_owned(), |disk| (f64::from(disk.used_percent()) / 100.0).to_string())
    };
    set("commitLogDiskRatio", ratio(store.commit_log_disk));
    set("consumeQueueDiskRatio", ratio(store.store_disk));
    set("dispatchBehindBytes", store.max_physical_offset.saturating_sub(store.indexed).to_string());
    set("pageCacheLockTimeMills", state.store.append_lock_held().as_millis().to_string());
    // Appends are committed at once, and requests do not queue for threads: nothing ever waits there.
    for key in [
        "remainHowManyDataToCommit",
        "timerReadBehind",
        "timerOffsetBehind",
        "timerCongestNum",
        "EndTransactionQueueSize",
    ] {
        set(key, "0".to_owned());
    }
    for key in ["timerEnqueueTps", "timerDequeueTps"] {
        set(key, "0.0".to_owned());
    }
    set("remainHowManyDataToFlush", store.max_physical_offset.saturating_sub(store.flushed).to_string());
    for pool in ["send", "pull", "litePull", "query", "ack"] {
        set(&format!("{pool}ThreadPoolQueueSize"), "0".to_owned());
        set(&format!("{pool}ThreadPoolQueueHeadWaitTimeMills"), "0".to_owned());
        set(&format!("{pool}ThreadPoolQueueCapacity"), "0".to_owned());
    }
    let (files, min) = (state.store.clone(), store.min_physical_offset);
    Ok(reply::from_disk(&call.request, move |request| {
        let oldest = files.record_at(min).ok().flatten();
        let oldest = oldest.map_or(-1, |record| record.layout().store_timestamp);
        table.insert("earliestMessageTimeStamp".to_owned(), oldest.to_string());
        Ok(Frame::response(request, ResponseCode::SUCCESS).with_body(serde_json::to_vec(&KvTable { table })?))
    }))
}

pub(super) fn get_config(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let version = serde_json::to_string(&state.config_version())?;
    let frame = Frame::response(&call.request, ResponseCode::SUCCESS)
        .with_header(&GetBrokerConfigResponse { version: &version })
        .with_body(write_properties(&state.config().to_map()));
    Ok(frame.into())
}

pub(super) fn update_config(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let text = String::from_utf8_lossy(&call.request.body);
    let mut changed = (*state.config()).clone();
    let old = changed.to_map();
    let unknown = changed.update(&text).map_err(|error| Refusal::system(error.to_string()))?;
    if unknown.iter().any(|unknown| BLACK_LIST.contains(&unknown.key.as_str())) {
        return Err(super::no_permission("Can not update config in black list."));
    }
    only_live_changes(BrokerConfig::TABLE, &old, &changed.to_map(), &unknown).map_err(Refusal::system)?;
    state.set_config(Arc::new(changed));
    Ok(reply::ok(&call.request))
}

pub(super) fn view_stats(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let ViewStatsRequest { stats_name, stats_key } = call.request.header()?;
    let cluster = &state.config().broker_cluster_name;
    match state.stats.view(cluster, stats_name, stats_key) {
        Some(data) => Ok(reply::body(&call.request, serde_json::to_vec(&data)?)),
        None => Err(Refusal::system(format!("The stats <{stats_name}> <{stats_key}> not exist"))),
    }
}

/// This broker is a master, and has no replicas yet.
pub(super) fn ha_status(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let end = state.store.status().max_physical_offset;
    let status = HaStatus {
        master: true,
        master_commit_log_max_offset: i64::try_from(end).unwrap_or(i64::MAX),
        ..HaStatus::default()
    };
    Ok(reply::body(&call.request, serde_json::to_vec(&status)?))
}

pub(super) fn clean_expired_queues(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    state.store.clean_soon(false);
    Ok(reply::ok(&call.request))
}

pub(super) fn delete_expired_log(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    state.store.clean_soon(true);
    Ok(reply::ok(&call.request))
}

/// Removes the queues of topics that are not there any more.
pub(super) fn clean_unused_topics(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let mut unused: BTreeSet<Arc<str>> = state.store.queues().into_iter().map(|(topic, _)| topic).collect();
    unused.retain(|topic| state.topics.get(topic).is_none() && !state.topics.is_system(topic));
    let store = state.store.clone();
    Ok(reply::from_disk(&call.request, move |request| {
        for topic in unused {
            info!(%topic, "queues of a topic that is not there any more are removed");
            store.delete_topic(&topic).map_err(|error| {
                Refusal::system(format!("the queues of {topic} could not be removed: {error}"))
            })?;
        }
        Ok(Frame::response(request, ResponseCode::SUCCESS))
    }))
}
