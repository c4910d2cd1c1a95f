//! The models in use here, when they were exchanged last, and where they came from: [`Swaps`].

use std::sync::{Arc, Mutex, PoisonError};

use augur_learn::{InUse, LearnedModel, ModelSlot};
use jiff::Timestamp;

/// Exchanges models and remembers it. Cheap to clone.
#[derive(Clone, Default)]
pub struct Swaps {
    slot: ModelSlot,
    last: Arc<Mutex<Option<(Timestamp, &'static str)>>>,
}

impl Swaps {
    /// Where decisions find the models.
    pub fn slot(&self) -> ModelSlot {
        self.slot.clone()
    }

    /// Takes models into use.
    pub fn set(&self, models: InUse, now: Timestamp, source: &'static str) {
        let id = |models: &InUse| models.champion.as_ref().map(|model| model.id.clone());
        if id(&self.slot.get()) != id(&models) {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, source));
        }
        self.slot.set(models);
    }

    /// When the model in use was exchanged last, and where it came from.
    pub fn last(&self) -> Option<(Timestamp, &'static str)> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The model in use of this id.
    pub fn model(&self, id: &str) -> Option<Arc<LearnedModel>> {
        let models = self.slot.get();
        [&models.champion, &models.last_good].into_iter().flatten().find(|model| *model.id == *id).cloned()
    }

    /// The model in use.
    pub fn champion(&self) -> Option<Arc<LearnedModel>> {
        self.slot.get().champion.clone()
    }
}
