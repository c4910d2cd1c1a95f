//! What a crash leaves behind: a storage that fails at the n-th call, and the images of its bytes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use redb::{Database, StorageBackend};

use crate::handle::HistoryOptions;
use crate::keeper::Keeper;
use crate::store::{HistoryError, Store};
use crate::types::*;

/// Bytes as the program sees them, and what of them is on disk for sure.
#[derive(Debug, Default)]
struct Disk {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Writes since the last sync.
    pending: Vec<(usize, Vec<u8>)>,
    calls: u64,
    /// The call that fails, and whether all after it fail too.
    fails_at: Option<(u64, bool)>,
}

impl Disk {
    fn call(&mut self) -> Result<(), std::io::Error> {
        self.calls += 1;
        match self.fails_at {
            Some((at, _)) if self.calls == at => Err(std::io::Error::from(std::io::ErrorKind::StorageFull)),
            Some((at, true)) if self.calls > at => Err(std::io::Error::other("the machine is off")),
            _ => Ok(()),
        }
    }

    /// What the disk holds after a crash: of the writes since the last sync the first `keep`, the last of them torn.
    fn image(&self, keep: usize) -> Vec<u8> {
        let mut image = self.durable.clone();
        for (i, (offset, bytes)) in self.pending.iter().take(keep).enumerate() {
            let whole = if i + 1 == keep { bytes.len() / 2 } else { bytes.len() };
            let end = (offset + whole).max(image.len());
            image.resize(end, 0);
            image[*offset..offset + whole].copy_from_slice(&bytes[..whole]);
        }
        image
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Backend(Arc<Mutex<Disk>>);

impl Backend {
    /// One that holds these bytes.
    pub(crate) fn of(image: Vec<u8>) -> Self {
        let backend = Self::default();
        {
            let mut disk = backend.0.lock().unwrap();
            (disk.seen, disk.durable) = (image.clone(), image);
        }
        backend
    }

    pub(crate) fn calls(&self) -> u64 {
        self.0.lock().unwrap().calls
    }

    /// The n-th call from now on fails, and all that come after it.
    pub(crate) fn fail_from(&self, n: u64) {
        let mut disk = self.0.lock().unwrap();
        disk.fails_at = Some((disk.calls + n, true));
    }

    /// No call fails any more.
    pub(crate) fn heal(&self) {
        self.0.lock().unwrap().fails_at = None;
    }

    /// What a crash now may leave: nothing, some and all of what was not synced.
    pub(crate) fn images(&self) -> Vec<Vec<u8>> {
        let disk = self.0.lock().unwrap();
        let pending = disk.pending.len();
        [0, pending.div_ceil(2), pending].into_iter().map(|keep| disk.image(keep)).collect()
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> Result<u64, std::io::Error> {
        Ok(self.0.lock().unwrap().seen.len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        let disk = self.0.lock().unwrap();
        let start = offset as usize;
        let part = disk.seen.get(start..start + out.len()).ok_or_else(|| std::io::Error::other("beyond the end"))?;
        out.copy_from_slice(part);
        Ok(())
    }
    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        let mut disk = self.0.lock().unwrap();
        disk.call()?;
        disk.seen.resize(len as usize, 0);
        // A length is taken to be durable at once; the bytes of it are not.
        disk.durable.resize(len as usize, 0);
        Ok(())
    }
    fn sync_data(&self) -> Result<(), std::io::Error> {
        let mut disk = self.0.lock().unwrap();
        disk.call()?;
        disk.durable = disk.seen.clone();
        disk.pending.clear();
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        let mut disk = self.0.lock().unwrap();
        disk.call()?;
        let start = offset as usize;
        let end = (start + data.len()).max(disk.seen.len());
        disk.seen.resize(end, 0);
        disk.seen[start..start + data.len()].copy_from_slice(data);
        disk.pending.push((start, data.to_vec()));
        Ok(())
    }
}

pub(crate) fn open(backend: &Backend) -> Result<(Arc<Store>, Keeper), HistoryError> {
    let existing = !backend.0.lock().unwrap().seen.is_empty();
    let disk = backend.clone();
    let opener = Box::new(move || {
        let opened = Database::builder().set_cache_size(4 << 20).create_with_backend(disk.clone());
        opened.map_err(|e| HistoryError::Damaged { path: "image".into(), why: e.to_string() })
    });
    let store = Arc::new(Store::with(PathBuf::from("image"), existing, opener)?);
    let mut keeper = Keeper::load(&store, &HistoryOptions::new("nowhere"))?;
    keeper.catch_up();
    Ok((store, keeper))
}

/// Commits of one run.
const ROUNDS: u64 = 6;

/// A decision that placed the i-th pod.
pub(crate) fn placed(i: u64) -> DecisionRecord {
    let at = UnixMillis(1_767_700_800_000 + i as i64 * 1000);
    DecisionRecord {
        id: DecisionId(DecisionId::first_at(at).0 + 1),
        at,
        kind: DecisionKind::Scheduling,
        pod: PodKey { namespace: "shop".into(), name: format!("p{i}").into(), uid: format!("u{i}").into() },
        workload: None,
        profile: "default-scheduler".into(),
        node: Some("n1".into()),
        reason: "most room".into(),
        algorithm: "enhanced_scoring".into(),
        fallback_reason: None,
        model_id: None,
        confidence: None,
        p_bad: None,
        propensity: 1.0,
        runner_up: None,
        nodes: 1,
        feasible: 1,
        scores: Vec::new(),
        rejections: Default::default(),
        features: vec![Some(0.5); 13],
        latency_us: 1,
        attempts: 1,
        alternative: None,
    }
}

/// Some decisions, each committed; answers with those that were acknowledged.
fn run(keeper: &mut Keeper, from: u64) -> Vec<DecisionId> {
    let mut acknowledged = Vec::new();
    for i in from..from + ROUNDS {
        let record = keeper.decision(placed(i));
        keeper.memory.seal();
        match keeper.commit() {
            Ok(()) => acknowledged.push(record.id),
            Err(_) => break,
        }
    }
    acknowledged
}

#[test]
fn what_was_acknowledged_survives_a_crash_at_any_call() {
    let whole = Backend::default();
    let (_store, mut keeper) = open(&whole).unwrap();
    let before = whole.calls();
    assert_eq!(run(&mut keeper, 0).len() as u64, ROUNDS);
    let calls = whole.calls() - before;
    assert!(calls > 40, "{calls}");
    // Of each crash three images: nothing, some and all of what was not synced.
    for n in (1..=calls).step_by(5) {
        let backend = Backend::default();
        let (store, mut keeper) = open(&backend).unwrap();
        backend.fail_from(n);
        let acknowledged = run(&mut keeper, 0);
        assert!((acknowledged.len() as u64) < ROUNDS, "call {n} must fail");
        drop((keeper, store));
        for (which, image) in backend.images().into_iter().enumerate() {
            let after = Backend::of(image);
            let (store, mut keeper) = open(&after).unwrap_or_else(|e| panic!("call {n}, image {which}: {e}"));
            for id in &acknowledged {
                assert!(store.decision(*id).unwrap().is_some(), "call {n}, image {which}: {id} is lost");
                assert!(store.outcome(*id).unwrap().is_some(), "call {n}, image {which}: the outcome of {id} is lost");
            }
            assert_eq!(keeper.memory.pods_followed() as u64, keeper.totals.decisions);
            // And it goes on.
            assert_eq!(run(&mut keeper, 100).len() as u64, ROUNDS);
        }
    }
}

#[test]
fn a_full_disk_loses_what_did_not_fit_and_goes_on_when_there_is_room() {
    let backend = Backend::default();
    let (store, mut keeper) = open(&backend).unwrap();
    assert_eq!(run(&mut keeper, 0).len() as u64, ROUNDS);
    {
        let mut disk = backend.0.lock().unwrap();
        disk.fails_at = Some((disk.calls + 5, false));
    }
    let acknowledged = run(&mut keeper, 100);
    assert!((acknowledged.len() as u64) < ROUNDS);
    store.reopen().unwrap();
    assert_eq!(run(&mut keeper, 200).len() as u64, ROUNDS);
    for id in acknowledged {
        assert!(store.decision(id).unwrap().is_some());
    }
}

#[test]
fn damaged_bytes_are_told_and_never_a_panic() {
    let backend = Backend::default();
    let (store, mut keeper) = open(&backend).unwrap();
    run(&mut keeper, 0);
    drop((keeper, store));
    let image = backend.0.lock().unwrap().seen.clone();
    let mut refused = 0;
    for i in 0..24 {
        let mut damaged = image.clone();
        let at = 4 + i * (image.len() - 300) / 24;
        damaged[at..at + 256].fill(0xa5);
        let after = Backend::default();
        after.0.lock().unwrap().seen = damaged;
        let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| open(&after).map(|_| ())));
        // redb may panic at what it finds; `History::open` sets such a file aside.
        refused += u32::from(!matches!(opened, Ok(Ok(()))));
    }
    assert!(refused > 0);
}
