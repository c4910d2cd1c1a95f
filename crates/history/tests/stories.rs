//! Life stories of pods, and what each placement is for training: `fixtures/stories.txt`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use augur_history::*;

const T0: i64 = 1_767_700_800_000;

/// What is seen of a pod so far.
struct Seen {
    decision: DecisionId,
    last: PodObservation,
}

struct Teller {
    memory: Memory,
    pods: BTreeMap<String, Seen>,
    outcomes: BTreeMap<DecisionId, Outcome>,
    decisions: u64,
}

/// `web.1x6@new` as the names of six pods, their workload and revision, and numbers from 0.
fn pods(text: &str) -> Vec<(String, String, String, u32)> {
    let (name, revision) = text.split_once('@').unwrap_or((text, ""));
    let (name, count) = match name.rsplit_once('x') {
        Some((name, count)) if name.contains('.') => (name, count.parse().unwrap()),
        _ => (name, 1),
    };
    let (workload, first) = name.split_once('.').unwrap_or_else(|| panic!("{text} has no number"));
    let first: u32 = first.parse().unwrap();
    (0..count).map(|i| (format!("{workload}.{}", first + i), workload.to_owned(), revision.to_owned(), i)).collect()
}

fn time(text: &str) -> i64 {
    let (mut total, mut number) = (0, 0);
    for c in text.chars() {
        match c {
            '0'..='9' => number = number * 10 + i64::from(c.to_digit(10).unwrap()),
            'h' => (total, number) = (total + number * 3_600_000, 0),
            'm' => (total, number) = (total + number * 60_000, 0),
            's' => (total, number) = (total + number * 1_000, 0),
            _ => panic!("{text} is no time"),
        }
    }
    total
}

impl Teller {
    fn new() -> Self {
        Teller {
            memory: Memory::new(Duration::from_secs(168 * 3600)),
            pods: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            decisions: 0,
        }
    }

    fn take_outcomes(&mut self) {
        for outcome in self.memory.drain().outcomes {
            self.outcomes.insert(outcome.decision_id, outcome);
        }
    }

    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = UnixMillis(T0 + time(words[0]));
        if words[1] == "node" {
            let (name, ready, gone) = (words[2].into(), words[3] == "ready", words[3] == "gone");
            self.memory.node(&NodeObservation { name, ready, gone, at, ..NodeObservation::default() });
            return;
        }
        for (name, workload, revision, index) in pods(words[1]) {
            self.pod(&name, &workload, &revision, index, at, &words[2..]);
        }
        self.take_outcomes();
    }

    fn pod(&mut self, name: &str, workload: &str, revision: &str, index: u32, at: UnixMillis, words: &[&str]) {
        let key = PodKey { namespace: "shop".into(), name: name.into(), uid: format!("uid-{name}").into() };
        let workload = WorkloadKey { namespace: "shop".into(), kind: "Deployment".into(), name: workload.into() };
        if words[0] == "place" {
            let first: u32 = words[1].trim_start_matches('n').parse().unwrap();
            let node: Arc<str> = format!("n{}", first + index).into();
            self.decisions += 1;
            let decision = DecisionId(DecisionId::first_at(at).0 + self.decisions);
            self.memory.place(Placement {
                decision,
                pod: key.clone(),
                workload: workload.clone(),
                node: node.clone(),
                at,
                p_bad: None,
            });
            let last = PodObservation {
                pod: key,
                workload,
                revision: revision.into(),
                node: Some(node),
                ..PodObservation::default()
            };
            self.pods.insert(name.to_owned(), Seen { decision, last });
            return;
        }
        let seen = self.pods.get_mut(name).unwrap_or_else(|| panic!("{name} was not placed"));
        let last = &mut seen.last;
        last.at = at;
        match words {
            ["running"] => (last.phase, last.ready) = (PodPhase::Running, false),
            ["pending"] => (last.phase, last.ready) = (PodPhase::Pending, false),
            ["ready"] => (last.phase, last.ready, last.waiting) = (PodPhase::Running, true, None),
            ["unready"] => last.ready = false,
            ["pull"] => (last.phase, last.waiting) = (PodPhase::Pending, Some("ErrImagePull".into())),
            ["restart", reason, code] => {
                last.restarts += 1;
                last.terminated = Some(Termination { reason: (*reason).into(), exit_code: code.parse().unwrap() });
            }
            ["succeeded"] => (last.phase, last.ready) = (PodPhase::Succeeded, false),
            ["failed", "terminating"] => {
                (last.phase, last.ready, last.terminating) = (PodPhase::Failed, false, true);
            }
            ["failed", reason, code] => {
                last.terminated = Some(Termination { reason: (*reason).into(), exit_code: code.parse().unwrap() });
                (last.phase, last.ready) = (PodPhase::Failed, false);
            }
            ["failed", reason] => {
                (last.phase, last.ready, last.reason) = (PodPhase::Failed, false, Some((*reason).into()));
            }
            ["disrupt", reason] => last.disruption = Some((*reason).into()),
            ["terminating"] => last.terminating = true,
            ["gone"] => last.gone = true,
            ["refused"] => {
                let uid = last.pod.uid.clone();
                return self.memory.bind_failed(seen.decision, &uid, at);
            }
            ["event", reason] => {
                let subject = EventSubject::Pod(last.pod.uid.clone());
                // A pod whose volumes are missing is pending, as its status says.
                let pending = last.clone();
                self.memory.pod(&pending);
                return self.memory.event(&EventObservation { subject, reason: (*reason).into(), at });
            }
            other => panic!("{other:?} is no word of a story"),
        }
        let observation = last.clone();
        self.memory.pod(&observation);
    }

    fn labels(&self, name: &str) -> (OutcomeLabel, Option<Cause>, OutcomeLabel) {
        let outcome = &self.outcomes[&self.pods[name].decision];
        (outcome.label, outcome.cause, outcome.day_label)
    }
}

fn label(text: &str) -> OutcomeLabel {
    serde_json::from_str(&format!("\"{text}\"")).unwrap()
}

#[test]
fn every_story_ends_as_it_should() {
    let text = include_str!("fixtures/stories.txt");
    let mut wrong = Vec::new();
    let stories: Vec<&str> = text.split("\n## ").skip(1).collect();
    assert!(stories.len() >= 50, "{}", stories.len());
    for story in &stories {
        let (title, rest) = story.split_once('\n').unwrap();
        let mut teller = Teller::new();
        let lines: Vec<&str> = rest.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        for line in lines.iter().filter(|line| !line.starts_with("=>")) {
            teller.line(line);
        }
        // No label before it is due: the last placement of all stories is not later than these.
        let early: Vec<_> = teller
            .outcomes
            .values()
            .filter(|o| teller.memory.now() < o.matures_at && o.label != OutcomeLabel::Immature)
            .collect();
        // Only a placement that was never carried out ends before its time.
        assert!(early.iter().all(|o| o.label == OutcomeLabel::Censored), "{title}: {early:?}");
        let end = teller.memory.now().0.max(T0 + 3 * 3_600_000);
        for hour in 1..=30 {
            teller.memory.advance(UnixMillis(end + hour * 3_600_000));
            teller.take_outcomes();
            let now = teller.memory.now();
            let early = |o: &&Outcome| now.0 < o.matures_at.0 + 23 * 3_600_000 && o.day_label != OutcomeLabel::Immature;
            assert_eq!(teller.outcomes.values().find(early), None, "{title}");
        }
        for line in lines.iter().filter_map(|line| line.strip_prefix("=> ")) {
            let (left, day) = line.split_once(" / ").unwrap();
            let words: Vec<&str> = left.split_whitespace().collect();
            let cause = words.get(2).map(|cause| serde_json::from_str(&format!("\"{cause}\"")).unwrap());
            for (name, ..) in pods(words[0]) {
                let (found, expected) = (teller.labels(&name), (label(words[1]), cause, label(day)));
                if found != expected {
                    wrong.push(format!("{title}: {name} is {found:?}, not {expected:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} stories:\n{}", wrong.len(), stories.len(), wrong.join("\n"));
}
