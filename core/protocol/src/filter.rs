//! Tag filters: what a subscription's expression selects (`FilterAPI`, `SubscriptionData`).

use std::collections::BTreeSet;

use crate::id::java_hash;

/// Why an expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum FilterError {
    #[error("'{0}' has no tag between its '||'; write '*' for all messages or tags as in 'a || b'")]
    NoTag(String),
}

/// A compiled tag expression: everything, or a set of tags.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TagFilter {
    tags: BTreeSet<String>,
    codes: Vec<i64>,
}

impl TagFilter {
    /// Compiles `*`, an empty text (both: everything) or tags joined by `||`.
    ///
    /// # Errors
    /// The text holds separators only.
    pub fn parse(expression: &str) -> Result<TagFilter, FilterError> {
        let expression = expression.trim();
        if expression.is_empty() || expression == "*" {
            return Ok(TagFilter::default());
        }
        let tags: BTreeSet<String> =
            expression.split("||").map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
        if tags.is_empty() {
            return Err(FilterError::NoTag(expression.to_owned()));
        }
        let mut codes: Vec<i64> = tags.iter().map(|tag| i64::from(java_hash(tag))).collect();
        codes.sort_unstable();
        codes.dedup();
        Ok(TagFilter { tags, codes })
    }

    /// Whether every message matches.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.tags.is_empty()
    }

    /// The tags; empty for everything.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().map(String::as_str)
    }

    /// What a broker can tell from a consume queue entry: whether the tag code is one of the wanted.
    ///
    /// Different tags can share a code, so the client must look at the tag itself too.
    #[must_use]
    pub fn matches_code(&self, code: i64) -> bool {
        self.is_all() || self.codes.contains(&code)
    }

    /// Whether a message with this tag (or none) is wanted.
    #[must_use]
    pub fn matches(&self, tag: Option<&str>) -> bool {
        self.is_all() || tag.is_some_and(|tag| self.tags.contains(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_compile_as_apaches_do() {
        for all in ["", "*", " * "] {
            let filter = TagFilter::parse(all).unwrap();
            assert!(filter.is_all() && filter.matches(None) && filter.matches_code(0));
        }
        let filter = TagFilter::parse("TagA || TagB||  ||TagA").unwrap();
        assert_eq!(filter.tags().collect::<Vec<_>>(), ["TagA", "TagB"]);
        assert!(filter.matches(Some("TagB")) && !filter.matches(None) && !filter.matches(Some("TagC")));
        assert!(filter.matches_code(2_598_919) && !filter.matches_code(0));
        assert!(TagFilter::parse("||").is_err());
        // Two texts with one hash: only the text tells them apart.
        let filter = TagFilter::parse("Aa").unwrap();
        assert!(filter.matches_code(i64::from(java_hash("BB"))) && !filter.matches(Some("BB")));
    }
}
