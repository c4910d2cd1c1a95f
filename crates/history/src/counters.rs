//! Hourly counts of what happened on a node or to a workload, over the window.

/// What is counted in one hour for one node or workload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Pods first seen there.
    pub started: u32,
    /// Pods that got into trouble (any of the below, but for restarts after exit code 0).
    pub troubled: u32,
    /// Pods that failed or were evicted.
    pub failed: u32,
    /// Pods restarted at least once.
    pub restarted: u32,
    /// Container restarts.
    pub restarts: u32,
    /// Containers killed for memory.
    pub oom: u32,
    /// Pods evicted.
    pub evicted: u32,
    /// Time for which the node was watched.
    pub watched_ms: u32,
    /// Time for which the node was Ready.
    pub ready_ms: u32,
    /// Times that a running pod ceased to be Ready.
    pub unready: u32,
}

const FIELDS: usize = 10;
/// Fields of the first version of the file, the first ones of those above.
const FIELDS_V1: usize = 9;

impl Bucket {
    fn fields(&self) -> [u32; FIELDS] {
        [
            self.started,
            self.troubled,
            self.failed,
            self.restarted,
            self.restarts,
            self.oom,
            self.evicted,
            self.watched_ms,
            self.ready_ms,
            self.unready,
        ]
    }

    pub fn to_bytes(self) -> [u8; FIELDS * 4] {
        let mut bytes = [0; FIELDS * 4];
        for (chunk, field) in bytes.chunks_exact_mut(4).zip(self.fields()) {
            chunk.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != FIELDS * 4 && bytes.len() != FIELDS_V1 * 4 {
            return None;
        }
        let mut fields = [0u32; FIELDS];
        for (field, chunk) in fields.iter_mut().zip(bytes.chunks_exact(4)) {
            *field = u32::from_le_bytes(chunk.try_into().ok()?);
        }
        Some(Self::of_fields(fields))
    }

    fn of_fields(fields: [u32; FIELDS]) -> Self {
        let [started, troubled, failed, restarted, restarts, oom, evicted, watched_ms, ready_ms, unready] = fields;
        Self { started, troubled, failed, restarted, restarts, oom, evicted, watched_ms, ready_ms, unready }
    }
}

/// The sum of a window of buckets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub started: u64,
    pub troubled: u64,
    pub failed: u64,
    pub restarted: u64,
    pub restarts: u64,
    pub oom: u64,
    pub evicted: u64,
    pub watched_ms: u64,
    pub ready_ms: u64,
    pub unready: u64,
}

impl Sums {
    pub fn add(&mut self, b: &Bucket) {
        self.started += u64::from(b.started);
        self.troubled += u64::from(b.troubled);
        self.failed += u64::from(b.failed);
        self.restarted += u64::from(b.restarted);
        self.restarts += u64::from(b.restarts);
        self.oom += u64::from(b.oom);
        self.evicted += u64::from(b.evicted);
        self.watched_ms += u64::from(b.watched_ms);
        self.ready_ms += u64::from(b.ready_ms);
        self.unready += u64::from(b.unready);
    }
}

/// The buckets of one node or workload, by hour since 1970.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    /// Sorted by hour. Hours are nearly always added at the end, and a list takes a third of a map's memory.
    buckets: Vec<(u32, Bucket)>,
    /// Hours changed since they were last written.
    dirty: Vec<u32>,
    /// Pods seen there before the window began and still there; they are exposed to trouble, so they count as pods.
    pub carried: u32,
}

impl Series {
    pub fn at(&mut self, hour: u32) -> &mut Bucket {
        if !self.dirty.contains(&hour) {
            self.dirty.push(hour);
        }
        let place = self.place(hour).unwrap_or_else(|place| {
            self.buckets.insert(place, (hour, Bucket::default()));
            place
        });
        // It was found or made just now.
        &mut self.buckets[place].1
    }

    fn place(&self, hour: u32) -> Result<usize, usize> {
        self.buckets.binary_search_by_key(&hour, |(hour, _)| *hour)
    }

    /// Adds the counts of another, hour by hour.
    pub fn add(&mut self, other: &Series) {
        for (hour, bucket) in &other.buckets {
            let sums = self.at(*hour).fields().into_iter().zip(bucket.fields());
            let sums: Vec<u32> = sums.map(|(mine, more)| mine.saturating_add(more)).collect();
            if let Ok(fields) = sums.try_into() {
                *self.at(*hour) = Bucket::of_fields(fields);
            }
        }
    }

    pub fn load(&mut self, hour: u32, bucket: Bucket) {
        match self.place(hour) {
            Ok(place) => self.buckets[place].1 = bucket,
            Err(place) => self.buckets.insert(place, (hour, bucket)),
        }
    }

    /// What changed since it was last written.
    pub fn dirty(&self) -> impl Iterator<Item = (u32, Bucket)> {
        self.dirty.iter().filter_map(|hour| self.place(*hour).ok().map(|place| self.buckets[place]))
    }

    /// What was dirty is on disk.
    pub fn written(&mut self) {
        self.dirty.clear();
    }

    /// Forgets what is older than `first`; answers with the hours that are gone.
    pub fn expire(&mut self, first: u32) -> Vec<u32> {
        let kept = self.buckets.partition_point(|(hour, _)| *hour < first);
        self.buckets.drain(..kept).map(|(hour, _)| hour).collect()
    }

    /// The sum from `first` on, without what is carried.
    pub fn since(&self, first: u32) -> Sums {
        let mut sums = Sums::default();
        for (_, bucket) in self.buckets.iter().rev().take_while(|(hour, _)| *hour >= first) {
            sums.add(bucket);
        }
        sums
    }

    pub fn sums(&self) -> Sums {
        let mut sums = Sums { started: u64::from(self.carried), ..Sums::default() };
        for (_, bucket) in &self.buckets {
            sums.add(bucket);
        }
        sums
    }

    /// The latest hour with any count; 0 without.
    pub fn last_hour(&self) -> u32 {
        self.buckets.last().map_or(0, |(hour, _)| *hour)
    }

    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty() && self.carried == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_survive_their_bytes_and_leave_with_the_window() {
        let mut series = Series::default();
        series.at(10).started = 3;
        series.at(11).troubled = 1;
        let written: Vec<_> = series.dirty().collect();
        assert_eq!(written.len(), 2);
        for (_, bucket) in &written {
            assert_eq!(Bucket::from_bytes(&bucket.to_bytes()), Some(*bucket));
        }
        series.written();
        assert_eq!(series.dirty().count(), 0);
        assert_eq!(Bucket::from_bytes(&[1, 2, 3]), None);
        assert_eq!(series.expire(11), [10]);
        assert_eq!(series.sums(), Sums { troubled: 1, ..Sums::default() });
    }
}
