//! The body of REGISTER_BROKER in its three forms (`RegisterBrokerBody`).

use bytes::{Buf, Bytes};
use mq_protocol::body::{DataVersion, RegisterBrokerBody, TopicConfig, TopicTable};
use mq_protocol::compression::{Compression, CompressionError};
use mq_protocol::{Frame, fastjson};

/// Requests of brokers before 3.0.11 carry the topic table alone.
const MODERN_BODY: i32 = 37;
/// Most bytes that a compressed body may inflate to.
const MAX_INFLATED: usize = 64 * 1024 * 1024;

/// Why a registration's body cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the topic table does not parse: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Compression(#[from] CompressionError),
    #[error("{0} of the compressed registration is cut off or damaged")]
    Part(&'static str),
}

/// The topic table of a registration.
pub(crate) fn topics(request: &Frame, compressed: bool) -> Result<TopicTable, BodyError> {
    let mut topics = if request.body.is_empty() {
        TopicTable::default()
    } else if compressed {
        inflate(&request.body)?
    } else if request.version < MODERN_BODY {
        fastjson::from_slice(&request.body)?
    } else {
        fastjson::from_slice::<RegisterBrokerBody>(&request.body)?.topic_config_serialize_wrapper
    };
    // The table's key is the topic's name, whether its settings repeat it or not.
    for (name, topic) in &mut topics.topic_config_table {
        if topic.topic_name.is_empty() {
            topic.topic_name.clone_from(name);
        }
    }
    Ok(topics)
}

fn inflate(body: &[u8]) -> Result<TopicTable, BodyError> {
    let mut bytes = Bytes::from(Compression::Zlib.decompress(body, MAX_INFLATED)?);
    let data_version: DataVersion = fastjson::from_slice(&part(&mut bytes, "data version")?)?;
    let mut topics = TopicTable { data_version, ..TopicTable::default() };
    let count = number(&mut bytes, "number of topics")?;
    for _ in 0..count {
        let text = part(&mut bytes, "topic")?;
        let topic = std::str::from_utf8(&text).ok().and_then(topic).ok_or(BodyError::Part("topic"))?;
        topics.topic_config_table.insert(topic.topic_name.clone(), topic);
    }
    Ok(topics)
}

fn number(bytes: &mut Bytes, what: &'static str) -> Result<usize, BodyError> {
    let number = bytes.try_get_i32().map_err(|_| BodyError::Part(what))?;
    usize::try_from(number).map_err(|_| BodyError::Part(what))
}

fn part(bytes: &mut Bytes, what: &'static str) -> Result<Bytes, BodyError> {
    let length = number(bytes, what)?;
    if length > bytes.len() { Err(BodyError::Part(what)) } else { Ok(bytes.split_to(length)) }
}

/// `name readQueueNums writeQueueNums perm topicFilterType [attributes]`.
fn topic(text: &str) -> Option<TopicConfig> {
    let mut words = text.splitn(6, ' ');
    let topic_name = words.next()?.to_owned();
    let mut number = || words.next()?.parse::<i32>().ok();
    let (read_queue_nums, write_queue_nums, perm) = (number()?, number()?, number()?);
    let topic_filter_type = words.next()?.to_owned();
    let attributes =
        words.next().and_then(|text| fastjson::from_slice(text.as_bytes()).ok()).unwrap_or_default();
    Some(TopicConfig {
        attributes,
        perm,
        read_queue_nums,
        topic_filter_type,
        topic_name,
        write_queue_nums,
        ..TopicConfig::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mq_protocol::RequestCode;

    #[test]
    fn the_compressed_form_is_read_and_truncations_are_errors() {
        let mut plain = Vec::new();
        let put = |out: &mut Vec<u8>, text: &str| {
            out.extend((text.len() as i32).to_be_bytes());
            out.extend(text.as_bytes());
        };
        put(&mut plain, r#"{"counter":3,"timestamp":7}"#);
        plain.extend(2_i32.to_be_bytes());
        put(&mut plain, "T 8 4 6 SINGLE_TAG");
        put(&mut plain, r#"U 1 1 2 MULTI_TAG {"message.type":"FIFO"}"#);
        let request = |plain: &[u8]| {
            let body = Compression::Zlib.compress(plain, 9).unwrap();
            Frame::bare_request(RequestCode::REGISTER_BROKER).with_body(body)
        };
        let table = topics(&request(&plain), true).unwrap();
        assert_eq!(table.data_version.counter, 3);
        assert_eq!(table.topic_config_table["T"].write_queue_nums, 4);
        assert_eq!(table.topic_config_table["U"].attributes["message.type"], "FIFO");
        for end in 0..plain.len() {
            assert!(topics(&request(&plain[..end]), true).is_err(), "{end}");
        }
    }
}
