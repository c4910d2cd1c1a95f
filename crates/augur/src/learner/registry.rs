//! Model files named by their hash, and a list of them: [`Registry`]. Every write goes to a file beside and is renamed, so that a
//! crash leaves the old or the new, never half of one.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use augur_api::dto::{JobView, ModelEntry, ModelState};
use augur_learn::LearnedModel;
use serde::{Deserialize, Serialize};

/// Models kept; of those beyond, the oldest that nobody may want back are removed.
const KEPT: usize = 20;
/// The list.
const STATE: &str = "state.json";
/// The jobs that were accepted.
const JOBS: &str = "jobs.json";

/// What the learner knows besides examples and model files.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The models, the newest last.
    pub models: Vec<ModelEntry>,
    /// The model in use.
    pub champion: Option<String>,
    /// Models to go back to, the latest last.
    pub good: Vec<String>,
    /// Ids under which decisions name the model in use.
    pub aliases: Vec<String>,
    /// Ids of models that did harm.
    pub harmful: Vec<String>,
    /// Promotions so far.
    pub promotions: u64,
    /// Trainings so far.
    pub trainings: u64,
    /// When the model in use was taken into use, in milliseconds since 1970.
    pub promoted_ms: i64,
    /// When the last training began.
    pub last_training_ms: Option<i64>,
    /// Whether the model in use has yet to stand its test.
    pub on_probation: bool,
}

/// A folder of models.
#[derive(Debug, Clone)]
pub struct Registry {
    dir: PathBuf,
}

impl Registry {
    /// The registry in a data folder; it is made when there is none.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(data_dir: &Path) -> anyhow::Result<Registry> {
        let dir = data_dir.join("registry");
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Registry { dir })
    }

    /// The list; an empty one when there is none yet.
    ///
    /// # Errors
    /// When it is there and cannot be read; the message names it.
    pub fn state(&self) -> anyhow::Result<State> {
        let path = self.dir.join(STATE);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is damaged; remove it to start without models", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(State::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Writes the list.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, state: &State) -> anyhow::Result<()> {
        self.replace(STATE, &serde_json::to_vec_pretty(state)?)
    }

    /// The jobs that were accepted, the oldest first; none when the file is missing or damaged, since jobs can be asked for again.
    pub fn jobs(&self) -> Vec<JobView> {
        let Ok(bytes) = fs::read(self.dir.join(JOBS)) else { return Vec::new() };
        serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(%error, "{JOBS} is damaged; its jobs are forgotten");
            Vec::new()
        })
    }

    /// Writes the jobs.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write_jobs<'a>(&self, jobs: impl Iterator<Item = &'a JobView>) -> anyhow::Result<()> {
        self.replace(JOBS, &serde_json::to_vec(&jobs.collect::<Vec<_>>())?)
    }

    /// Writes a model's file; its size.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, model: &LearnedModel) -> anyhow::Result<u64> {
        let bytes = model.file.to_bytes();
        if !self.path(&model.id).exists() {
            self.replace(&file_name(&model.id), &bytes)?;
        }
        Ok(bytes.len() as u64)
    }

    /// Reads a model's file.
    ///
    /// # Errors
    /// When it is not there, torn, not what its name says, or made for other features; the message names it.
    pub fn get(&self, id: &str) -> anyhow::Result<Arc<LearnedModel>> {
        let path = self.path(id);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let model = LearnedModel::read(&bytes, Some(id)).with_context(|| path.display().to_string())?;
        Ok(Arc::new(model))
    }

    /// Removes what the list has too many of, and files that it does not name.
    pub fn prune(&self, state: &mut State) {
        while state.models.len() > KEPT {
            let spare = |entry: &ModelEntry| !matches!(entry.state, ModelState::Champion | ModelState::KnownGood);
            let Some(at) = state.models.iter().position(spare) else { break };
            state.models.remove(at);
        }
        let named = |name: &str| state.models.iter().any(|entry| file_name(&entry.id) == name);
        let Ok(files) = fs::read_dir(&self.dir) else { return };
        for file in files.flatten() {
            let name = file.file_name();
            let Some(name) = name.to_str() else { continue };
            if ![STATE, JOBS].contains(&name)
                // It may be half written.
                && !name.ends_with(".new")
                && !named(name)
                && let Err(error) = fs::remove_file(file.path())
            {
                tracing::warn!(%error, file = name, "a model that is not listed cannot be removed");
            }
        }
    }

    fn path(&self, id: &str) -> PathBuf {
        self.dir.join(file_name(id))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let (path, beside) = (self.dir.join(name), self.dir.join(format!("{name}.new")));
        let written = File::create(&beside).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            // The name itself is on disk only with its folder.
            File::open(&self.dir)?.sync_all()
        });
        written.with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Ids are hashes; whatever else somebody asks for is no path.
fn file_name(id: &str) -> String {
    let hash: String = id.chars().filter(char::is_ascii_hexdigit).take(64).collect();
    format!("{hash}.model")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, state: ModelState) -> ModelEntry {
        let trained_at = jiff::Timestamp::UNIX_EPOCH;
        ModelEntry { id: id.to_owned(), state, trained_at, promoted_at: None, size_bytes: 1, evaluation: None }
    }

    #[test]
    fn the_list_is_read_back_and_damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path()).unwrap();
        assert!(registry.state().unwrap().models.is_empty());
        let models = vec![entry("ab", ModelState::Champion)];
        registry.write(&State { models, promotions: 3, ..State::default() }).unwrap();
        let again = Registry::open(dir.path()).unwrap().state().unwrap();
        assert_eq!((again.models.len(), again.promotions), (1, 3));
        fs::write(dir.path().join("registry/state.json"), "{\"models\": [").unwrap();
        let error = format!("{:#}", registry.state().unwrap_err());
        assert!(error.contains("state.json is damaged"), "{error}");
    }

    #[test]
    fn a_torn_or_foreign_model_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path()).unwrap();
        let id = "0".repeat(64);
        fs::write(registry.path(&id), b"AUGURFST and no more").unwrap();
        let error = format!("{:#}", registry.get(&id).unwrap_err());
        assert!(error.contains(&id), "{error}");
        assert!(registry.get("../../etc/passwd").is_err());
    }

    #[test]
    fn what_can_be_gone_back_to_is_kept_longest() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path()).unwrap();
        let mut state = State { models: vec![entry("aa", ModelState::KnownGood)], ..State::default() };
        for number in 0..40 {
            state.models.push(entry(&format!("{number:02x}"), ModelState::Candidate));
        }
        fs::write(registry.path("ff"), b"not listed").unwrap();
        registry.prune(&mut state);
        assert_eq!(state.models.len(), KEPT);
        assert_eq!((&*state.models[0].id, state.models[0].state), ("aa", ModelState::KnownGood));
        assert!(!registry.path("ff").exists());
    }
}
