//! Edits of a topic's attributes, such as `+message.type=FIFO,-reserve.time` (`AttributeParser`, `TopicAttributes`).

use std::collections::BTreeMap;

use mq_protocol::ResponseCode;

use crate::server::Refusal;

/// An attribute: its name, the values it takes (empty: a number), and whether it can change after creation.
struct Attribute {
    name: &'static str,
    values: &'static [&'static str],
    changeable: bool,
}

const ATTRIBUTES: [Attribute; 5] = [
    Attribute { name: "queue.type", values: &["SimpleCQ"], changeable: false },
    Attribute { name: "cleanup.policy", values: &["DELETE"], changeable: false },
    Attribute {
        name: "message.type",
        values: &["UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION", "MIXED"],
        changeable: true,
    },
    Attribute { name: "reserve.time", values: &[], changeable: true },
    Attribute { name: "priority.factor", values: &[], changeable: true },
];

/// Applies the edits to the attributes of a topic; `None` is a topic that is made now, which takes `+` only.
pub(crate) fn edit(
    current: Option<&BTreeMap<String, String>>,
    edits: &str,
) -> Result<BTreeMap<String, String>, Refusal> {
    let mut attributes = current.cloned().unwrap_or_default();
    for edit in edits.split(',').map(str::trim).filter(|edit| !edit.is_empty()) {
        let refuse = |why: &str| {
            Err(Refusal::new(ResponseCode::INVALID_PARAMETER, format!("attribute edit '{edit}': {why}")))
        };
        let (text, adds) = match (edit.strip_prefix('+'), edit.strip_prefix('-')) {
            (Some(text), _) => (text, true),
            (_, Some(text)) => (text, false),
            _ => return refuse("write +name=value to set or -name to remove"),
        };
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let Some(known) = ATTRIBUTES.iter().find(|attribute| attribute.name == name) else {
            return refuse("unsupported key");
        };
        if current.is_some() && !known.changeable {
            return refuse("this attribute is fixed when the topic is made");
        }
        if !adds {
            if current.is_none() {
                return refuse("only + is possible while a topic is made");
            }
            attributes.remove(name);
            continue;
        }
        let fits = match known.values {
            [] => value.parse::<i64>().is_ok(),
            values => values.contains(&value),
        };
        if !fits {
            return refuse(&match known.values {
                [] => "the value must be a number".to_owned(),
                values => format!("this broker takes {}", values.join(", ")),
            });
        }
        attributes.insert(name.to_owned(), value.to_owned());
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_follow_apaches_rules() {
        let made = edit(None, "+message.type=FIFO,+queue.type=SimpleCQ").unwrap();
        assert_eq!(made["message.type"], "FIFO");
        let changed = edit(Some(&made), "-message.type, +reserve.time=24").unwrap();
        assert_eq!(changed.keys().collect::<Vec<_>>(), ["queue.type", "reserve.time"]);
        for (current, bad) in [
            (None, "-message.type"),
            (None, "message.type=FIFO"),
            (None, "+color=red"),
            (None, "+queue.type=BatchCQ"),
            (None, "+reserve.time=soon"),
            (Some(&made), "+queue.type=SimpleCQ"),
        ] {
            assert!(edit(current, bad).is_err(), "{bad}");
        }
    }
}
