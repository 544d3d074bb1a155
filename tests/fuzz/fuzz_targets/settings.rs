//! Settings as text: broker.conf, the NameServer's, the client's, and delay levels.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mq_broker::{BrokerConfig, NameServerConfig};
use mq_client::{ClientConfig, ProducerConfig, PushConsumerConfig};
use mq_store::DelayLevels;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = BrokerConfig::from_properties(text);
    let _ = NameServerConfig::from_properties(text);
    if let Ok(levels) = DelayLevels::parse(text) {
        assert!(levels.delay_millis(levels.max_level()).is_some_and(|delay| delay > 0));
    }
    let _ = ClientConfig::new(text);
    let mut consumer = PushConsumerConfig::new("g");
    let mut producer = ProducerConfig::new("g");
    if let Ok(mut client) = ClientConfig::new("127.0.0.1:9876") {
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let _ = (client.set(key, value), producer.set(key, value), consumer.set(key, value));
        }
        let _ = (client.check_limits(), producer.check_limits(), consumer.check_limits());
    }
});
