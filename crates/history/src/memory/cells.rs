//! The counts of workloads on one node ([`Cells`]): a sorted list, because most nodes have few and there are many nodes.

use super::tally::Tally;

/// Counts by the number of the workload.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cells(Vec<(u32, Tally)>);

impl Cells {
    fn place(&self, workload: u32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&workload, |(id, _)| *id)
    }

    pub fn get(&self, workload: u32) -> Option<&Tally> {
        self.place(workload).ok().map(|place| &self.0[place].1)
    }

    /// The counts of a workload, made when there are none.
    pub fn entry(&mut self, workload: u32) -> &mut Tally {
        let place = self.place(workload).unwrap_or_else(|place| {
            // Exactly one more: most nodes never get another.
            self.0.reserve_exact(1);
            self.0.insert(place, (workload, Tally::default()));
            place
        });
        // It was found or made just now.
        &mut self.0[place].1
    }

    pub fn remove(&mut self, workload: u32) {
        if let Ok(place) = self.place(workload) {
            self.0.remove(place);
        }
    }

    pub fn retain(&mut self, mut keep: impl FnMut(u32) -> bool) {
        self.0.retain(|(id, _)| keep(*id));
    }

    pub fn iter(&self) -> impl Iterator<Item = &(u32, Tally)> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_by_their_number_in_whatever_order_they_came() {
        let mut cells = Cells::default();
        for id in [5, 1, 9] {
            cells.entry(id).pods += f64::from(id);
        }
        cells.entry(1).pods += 1.0;
        assert_eq!(cells.iter().map(|(id, cell)| (*id, cell.pods)).collect::<Vec<_>>(), [(1, 2.0), (5, 5.0), (9, 9.0)]);
        cells.remove(5);
        cells.retain(|id| id != 9);
        assert_eq!((cells.len(), cells.get(1).map(|cell| cell.pods), cells.get(5)), (1, Some(2.0), None));
    }
}
