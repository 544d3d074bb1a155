//! Edits of the attributes of topics and groups, such as `+message.type=FIFO,-reserve.time` (`AttributeUtil`,
//! `TopicAttributes`, `SubscriptionGroupAttributes`).

use std::collections::BTreeMap;

use crate::server::Refusal;

/// An attribute: its name, the values it takes (empty: a number), and whether it can change after creation.
struct Attribute {
    name: &'static str,
    values: &'static [&'static str],
    changeable: bool,
}

/// Those of topics.
const OF_TOPICS: [Attribute; 5] = [
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

/// Those of groups.
const OF_GROUPS: [Attribute; 1] = [Attribute { name: "priority.factor", values: &[], changeable: true }];

/// Attributes by name.
pub(crate) type Attributes = BTreeMap<String, String>;

/// Applies edits with commas between to the attributes of a topic; `None` is a topic that is made now, which takes `+`
/// only.
pub(crate) fn edit_topic(current: Option<&Attributes>, edits: &str) -> Result<Attributes, Refusal> {
    edit(&OF_TOPICS, current, edits.split(','))
}

/// Applies edits to the attributes of a group: keys with `+` or `-` before them.
pub(crate) fn edit_group(current: Option<&Attributes>, edits: &Attributes) -> Result<Attributes, Refusal> {
    let edits: Vec<String> = edits.iter().map(|(name, value)| format!("{name}={value}")).collect();
    edit(&OF_GROUPS, current, edits.iter().map(String::as_str))
}

fn edit<'a>(
    table: &[Attribute],
    current: Option<&Attributes>,
    edits: impl Iterator<Item = &'a str>,
) -> Result<Attributes, Refusal> {
    let mut attributes = current.cloned().unwrap_or_default();
    for edit in edits.map(str::trim).filter(|edit| !edit.is_empty()) {
        let refuse = |why: &str| {
            // `AttributeUtil` throws, which becomes SYSTEM_ERROR.
            Err(Refusal::system(format!("attribute edit '{edit}': {why}")))
        };
        let (text, adds) = match (edit.strip_prefix('+'), edit.strip_prefix('-')) {
            (Some(text), _) => (text, true),
            (_, Some(text)) => (text, false),
            _ => return refuse("write +name=value to set or -name to remove"),
        };
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let Some(known) = table.iter().find(|attribute| attribute.name == name) else {
            return refuse("unsupported key");
        };
        if current.is_some() && !known.changeable {
            return refuse("this attribute is fixed when the topic is made");
        }
        if !adds {
            if current.is_none() {
                return refuse("only + is possible while it is made");
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
        let made = edit_topic(None, "+message.type=FIFO,+queue.type=SimpleCQ").unwrap();
        assert_eq!(made["message.type"], "FIFO");
        let changed = edit_topic(Some(&made), "-message.type, +reserve.time=24").unwrap();
        assert_eq!(changed.keys().collect::<Vec<_>>(), ["queue.type", "reserve.time"]);
        for (current, bad) in [
            (None, "-message.type"),
            (None, "message.type=FIFO"),
            (None, "+color=red"),
            (None, "+queue.type=BatchCQ"),
            (None, "+reserve.time=soon"),
            (Some(&made), "+queue.type=SimpleCQ"),
        ] {
            assert!(edit_topic(current, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn groups_have_attributes_of_their_own() {
        let edits = |name: &str, value: &str| Attributes::from([(name.to_owned(), value.to_owned())]);
        let made = edit_group(None, &edits("+priority.factor", "50")).unwrap();
        assert_eq!(made["priority.factor"], "50");
        assert!(edit_group(Some(&made), &edits("-priority.factor", "")).unwrap().is_empty());
        assert!(edit_group(None, &edits("+message.type", "FIFO")).is_err());
        assert!(edit_group(None, &edits("priority.factor", "50")).is_err());
    }
}
