//! Properties text, tag expressions, names and ids.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mq_protocol::filter::TagFilter;
use mq_protocol::property::Properties;
use mq_protocol::{id, name, property};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let properties = Properties::parse(text);
    for (key, value) in properties.iter() {
        assert_eq!(property::find(properties.as_text(), key).is_some(), properties.get(key).is_some());
        let mut changed = properties.clone();
        if changed.set(key, value).is_ok() {
            assert_eq!(changed.get(key), Some(value));
        }
        changed.remove(key);
        assert_eq!(changed.get(key), None);
    }
    // Reading what was written changes nothing more.
    assert_eq!(Properties::parse(properties.as_text()).as_text(), properties.as_text());
    if let Ok(filter) = TagFilter::parse(text) {
        for tag in filter.tags() {
            assert!(filter.matches(Some(tag)) && filter.matches_code(id::tags_code(Some(tag))));
        }
    }
    if let Ok((host, offset)) = id::parse_offset_msg_id(text) {
        assert!(id::offset_msg_id(host, offset).eq_ignore_ascii_case(text));
    }
    let _ = (name::check_topic(text), name::check_group(text), name::is_system_topic(text));
});
