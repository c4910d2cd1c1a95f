//! Rows with small numbers for names ([`Rows`]), so that one row can point to another cheaply and every walk over them has the
//! same order.

use std::collections::HashMap;
use std::hash::Hash;

/// Values by name and by number. A number is used anew once its row is gone.
#[derive(Debug, Clone)]
pub(crate) struct Rows<K, V> {
    ids: HashMap<K, u32>,
    rows: Vec<(Option<K>, V)>,
    free: Vec<u32>,
}

impl<K, V> Default for Rows<K, V> {
    fn default() -> Self {
        Self { ids: HashMap::new(), rows: Vec::new(), free: Vec::new() }
    }
}

impl<K: Clone + Eq + Hash, V: Default> Rows<K, V> {
    /// The number of the row of this name, which is made when there is none.
    pub fn id(&mut self, key: &K) -> u32 {
        if let Some(id) = self.ids.get(key) {
            return *id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.rows.push((None, V::default()));
            // Rows are nodes and workloads in memory; there are never four thousand million of them.
            u32::try_from(self.rows.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(row) = self.rows.get_mut(id as usize) {
            *row = (Some(key.clone()), V::default());
        }
        self.ids.insert(key.clone(), id);
        id
    }

    /// The row of this name, made when there is none.
    pub fn entry(&mut self, key: &K) -> &mut V {
        let id = self.id(key) as usize;
        // A number that was given out is an index of a row.
        &mut self.rows[id].1
    }

    pub fn find(&self, key: &K) -> Option<u32> {
        self.ids.get(key).copied()
    }

    pub fn at(&self, id: u32) -> Option<&V> {
        self.rows.get(id as usize).and_then(|(key, value)| key.as_ref().map(|_| value))
    }

    pub fn at_mut(&mut self, id: u32) -> Option<&mut V> {
        self.rows.get_mut(id as usize).and_then(|(key, value)| key.as_ref().map(|_| value))
    }

    pub fn key(&self, id: u32) -> Option<&K> {
        self.rows.get(id as usize)?.0.as_ref()
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.at(self.find(key)?)
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let id = self.find(key)?;
        self.at_mut(id)
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let id = self.ids.remove(key)?;
        self.free.push(id);
        let (key, value) = self.rows.get_mut(id as usize).map(std::mem::take)?;
        key.map(|_| value)
    }

    /// All rows in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &K, &V)> {
        let numbered = self.rows.iter().enumerate();
        numbered.filter_map(|(id, (key, value))| key.as_ref().map(|key| (id as u32, key, value)))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.rows.iter_mut().filter_map(|(key, value)| key.as_ref().map(|key| (key, value)))
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_and_are_used_anew() {
        let mut rows: Rows<String, u8> = Rows::default();
        let name = |n: &str| n.to_owned();
        *rows.entry(&name("a")) = 1;
        *rows.entry(&name("b")) = 2;
        assert_eq!((rows.id(&name("a")), rows.id(&name("b"))), (0, 1));
        assert_eq!(rows.remove(&name("a")), Some(1));
        assert_eq!((rows.id(&name("c")), rows.len()), (0, 2));
        assert_eq!(
            rows.iter().map(|(id, key, value)| (id, key.as_str(), *value)).collect::<Vec<_>>(),
            [(0, "c", 0), (1, "b", 2)]
        );
        assert_eq!(rows.key(1).map(String::as_str), Some("b"));
    }
}
