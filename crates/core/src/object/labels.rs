//! Labels of one object: shared, sorted, small.

use std::sync::Arc;

/// Keys with their values, by key. Cloning shares.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

impl Labels {
    /// The value of a label.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(key)).ok().map(|at| &*self.0[at].1)
    }

    /// The value of a label, shared.
    pub(crate) fn shared(&self, key: &str) -> Option<&Arc<str>> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(key)).ok().map(|at| &self.0[at].1)
    }

    /// Keys and values, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The labels whose keys are wanted, with shared strings.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&str) -> bool) -> Labels {
        if self.0.iter().all(|(key, _)| wanted(key)) {
            return self.clone();
        }
        Labels(self.0.iter().filter(|(key, _)| wanted(key)).cloned().collect())
    }

    /// The same labels with other places for the same texts, as `share` says.
    #[must_use]
    pub fn map(&self, mut share: impl FnMut(&mut Arc<str>)) -> Labels {
        let mut labels: Arc<[(Arc<str>, Arc<str>)]> = self.0.iter().cloned().collect();
        for (key, value) in Arc::make_mut(&mut labels) {
            share(key);
            share(value);
        }
        Labels(labels)
    }

    /// Whether no other object shares them.
    #[must_use]
    pub fn is_last(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// All labels but the one of this key, with shared strings.
    #[must_use]
    pub fn without(&self, key: &str) -> Labels {
        Labels(self.0.iter().filter(|(known, _)| &**known != key).cloned().collect())
    }
}

impl<K: Into<Arc<str>>, V: Into<Arc<str>>> FromIterator<(K, V)> for Labels {
    /// Of several values of one key the last counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(labels: I) -> Labels {
        let mut sorted: Vec<(Arc<str>, Arc<str>)> =
            labels.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        sorted.reverse();
        sorted.dedup_by(|a, b| a.0 == b.0);
        sorted.reverse();
        Labels(sorted.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_by_key_and_the_last_value_counts() {
        let labels: Labels = [("b", "1"), ("a", "2"), ("b", "3")].into_iter().collect();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
        assert_eq!((labels.get("b"), labels.get("c")), (Some("3"), None));
        assert_eq!(labels.without("a").iter().collect::<Vec<_>>(), [("b", "3")]);
    }
}
