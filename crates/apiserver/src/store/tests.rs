use super::*;
use crate::resource::by_qualified;
use crate::selector::facts;
use serde_json::{Value, json};

fn pods() -> &'static Resource {
    by_qualified("pods").unwrap()
}

fn pod(name: &str, n: u32) -> (Draft, Arc<Facts>) {
    let object = json!({ "metadata": { "name": name, "labels": { "n": n.to_string() } } });
    (Draft::encode(&object), Arc::new(facts(pods(), &object)))
}

fn insert(store: &Store, key: &str, n: u32) -> u64 {
    let (draft, facts) = pod(key, n);
    store.insert(pods(), key, &draft, facts).unwrap().revision
}

fn names(listing: &Listing) -> Vec<String> {
    listing.items.iter().map(|(k, e)| format!("{k}:{}", label(&e.value()))).collect()
}

fn label(object: &Value) -> String {
    object["metadata"]["labels"]["n"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn writes_need_the_state_they_were_made_from() {
    let store = Store::new();
    let first = insert(&store, "a/x", 1);
    let (draft, facts) = pod("a/x", 2);
    assert_eq!(store.insert(pods(), "a/x", &draft, facts.clone()).unwrap_err(), WriteError::Exists);
    let second = store.replace(pods(), "a/x", first, &draft, facts.clone()).unwrap().revision;
    assert!(second > first);
    assert_eq!(store.replace(pods(), "a/x", first, &draft, facts.clone()).unwrap_err(), WriteError::Stale);
    assert!(store.remove(pods(), "a/x", second).unwrap().revision > second);
    assert_eq!(store.remove(pods(), "a/x", second).unwrap_err(), WriteError::Gone);
}

#[test]
fn the_past_can_be_listed_until_it_is_forgotten() {
    let store = Store::new();
    let first = insert(&store, "a/x", 1);
    let then = insert(&store, "b/y", 1);
    let (draft, facts) = pod("a/x", 2);
    store.replace(pods(), "a/x", first, &draft, facts).unwrap();
    store.remove(pods(), "b/y", then).unwrap();
    insert(&store, "a/z", 1);
    let list = |page| store.list(pods(), page);
    assert_eq!(names(&list(Page::default()).unwrap()), ["a/x:2", "a/z:1"]);
    assert_eq!(names(&list(Page { at: Some(then), ..Page::default() }).unwrap()), ["a/x:1", "b/y:1"]);
    assert_eq!(names(&list(Page { at: Some(then), after: Some("a/x"), ..Page::default() }).unwrap()), ["b/y:1"]);
    assert_eq!(names(&list(Page { namespace: "a", at: Some(first), ..Page::default() }).unwrap()), ["a/x:1"]);
    store.forget_history();
    assert_eq!(list(Page { at: Some(then), ..Page::default() }).unwrap_err(), ListError::Expired);
    assert_eq!(names(&list(Page::default()).unwrap()), ["a/x:2", "a/z:1"]);
}

#[test]
fn a_list_longer_than_a_batch_is_complete_and_sorted() {
    let store = Store::new();
    for i in 0..5_001 {
        insert(&store, &format!("ns/p{i:05}"), i);
    }
    let listing = store.list(pods(), Page { namespace: "ns", ..Page::default() }).unwrap();
    assert_eq!(listing.items.len(), 5_001);
    assert!(listing.items.is_sorted_by(|a, b| a.0 < b.0));
}

#[test]
fn a_cursor_yields_every_change_after_its_revision() {
    let store = Store::new();
    let first = insert(&store, "a/x", 1);
    let mut cursor = store.watch(pods(), first).unwrap();
    assert!(matches!(store.step(pods(), &mut cursor).0, Step::Changes(e) if e.is_empty()));
    let second = insert(&store, "a/y", 1);
    let (Step::Changes(events), complete) = store.step(pods(), &mut cursor) else { panic!("expired") };
    assert_eq!(events.iter().map(|e| &*e.key).collect::<Vec<_>>(), ["a/y"]);
    assert_eq!(complete, second);
    store.forget_history();
    assert_eq!(store.watch(pods(), first).unwrap_err(), Expired { floor: second });
    assert!(store.watch(pods(), second).is_ok());
}

#[test]
fn a_watcher_that_falls_behind_the_history_expires() {
    let store = Store::new();
    let mut cursor = store.watch(pods(), 0).unwrap();
    let mut revision = insert(&store, "a/x", 0);
    for n in 0..=u32::try_from(HISTORY_EVENTS).unwrap() {
        let (draft, facts) = pod("a/x", n);
        revision = store.replace(pods(), "a/x", revision, &draft, facts).unwrap().revision;
    }
    assert!(matches!(store.step(pods(), &mut cursor).0, Step::Expired(_)));
}

#[test]
fn a_data_directory_keeps_objects_and_revisions() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let first = insert(&store, "a/x", 1);
    insert(&store, "a/y", 1);
    let (draft, facts) = pod("a/x", 2);
    let second = store.replace(pods(), "a/x", first, &draft, facts).unwrap().revision;
    let entry = store.get(pods(), "a/y").unwrap();
    let last = store.remove(pods(), "a/y", entry.revision).unwrap().revision;
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(names(&store.list(pods(), Page::default()).unwrap()), ["a/x:2"]);
    assert_eq!(store.get(pods(), "a/x").unwrap().revision, second);
    assert_eq!(store.revision(), last);
    assert_eq!(store.watch(pods(), first).unwrap_err(), Expired { floor: last });
}

#[test]
fn a_torn_file_is_refused_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    insert(&Store::open(dir.path()).unwrap(), "a/x", 1);
    let path = dir.path().join("objects.redb");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..100]).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(error.message.contains("objects.redb"), "{}", error.message);
}

#[test]
fn many_writers_leave_one_history_in_order() {
    let store = Store::new();
    let mut cursor = store.watch(pods(), 0).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for i in 0..500 {
                    insert(store, &format!("w{writer}/p{i}"), i);
                }
            });
        }
        // Lists taken meanwhile are what the history says for their revision.
        for _ in 0..20 {
            let present = store.list(pods(), Page::default()).unwrap();
            let again = store.list(pods(), Page { at: Some(present.revision), ..Page::default() }).unwrap();
            assert_eq!(names(&present), names(&again));
        }
    });
    let mut seen = Vec::new();
    while let (Step::Changes(events), _) = store.step(pods(), &mut cursor)
        && !events.is_empty()
    {
        seen.extend(events.iter().map(|e| e.entry.revision));
    }
    assert_eq!(seen.len(), 2_000);
    assert!(seen.is_sorted_by(|a, b| a < b));
}
