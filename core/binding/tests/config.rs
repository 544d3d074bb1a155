//! Settings as strings: names, aliases, hints.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use mq_binding::{Client, Config, ErrorCode};

#[test]
fn a_setting_has_one_value_under_all_its_names() {
    let mut config = Config::new();
    config.set("namesrvAddr", "127.0.0.1:9876").unwrap();
    assert_eq!(config.get("namesrv"), Some("127.0.0.1:9876"));
    config.set("namesrv", "127.0.0.1:9877").unwrap();
    assert_eq!(config.get("namesrvAddr"), Some("127.0.0.1:9877"));
    assert_eq!(config.iter().collect::<Vec<_>>(), [("namesrv", "127.0.0.1:9877")]);
    assert_eq!(config.get("group"), None);
}

#[test]
fn mistakes_are_found_at_once_and_name_the_nearest() {
    let mut config = Config::new();
    let message = |result: Result<(), mq_binding::Error>| {
        let error = result.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Config);
        error.to_string()
    };
    assert_eq!(
        message(config.set("sendMsgTimeot", "1")),
        "'sendMsgTimeot' is not a setting; did you mean 'sendMsgTimeout'?"
    );
    assert_eq!(message(config.set("namesvr", "1")), "'namesvr' is not a setting; did you mean 'namesrv'?");
    assert!(message(config.set("xyzzy", "1")).contains("see the list of settings"));
    assert!(message(config.set("send_timeout", "soon")).contains("'soon'"));
    assert!(message(config.set("namesrv", "nowhere")).contains("'nowhere'"));
}

#[test]
fn settings_of_another_object_are_refused_where_they_are_used() {
    let mut config = Config::new();
    config.set("group", "orders").unwrap();
    let error = Client::new(&config, "RUST").unwrap_err();
    assert!(error.to_string().contains("'group' belongs to the producer"), "{error}");
    let error = Client::new(&Config::new(), "RUST").unwrap_err();
    assert!(error.to_string().contains("'namesrv' is empty"), "{error}");
}
