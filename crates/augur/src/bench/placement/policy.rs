//! The policies that are compared. Start at [`Policy`].
//!
//! Those that are a profile of the core are decided by the core alone; the others take the core's filters and scores, leave out
//! what their authors advise to leave out, and add their own score.

use std::sync::Arc;

use augur_core::plugins::PluginId;
use augur_core::profile::{FitArguments, PluginArguments, Profile, ProfilePlugins, ScoringStrategy};
use clap::ValueEnum;

/// A way of placing pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Policy {
    /// kube-scheduler's default profile.
    Default,
    /// The same with NodeResourcesFit packing nodes.
    MostAllocated,
    /// Any node on which the pod fits.
    RandomFeasible,
    /// Trimaran's TargetLoadPacking in place of the scores over requests.
    TrimaranTlp,
    /// Trimaran's LoadVariationRiskBalancing in place of the scores over requests.
    TrimaranLvrb,
    /// The default profile with enhanced scoring: Augur without a model.
    Enhanced,
    /// Enhanced scoring and a model that learns from nothing.
    Augur,
    /// Knows what is hidden.
    Oracle,
}

impl Policy {
    /// The name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The core's profile.
    pub fn profile(self) -> Profile {
        let mut profile = Profile::default();
        if !matches!(self, Policy::Enhanced | Policy::Augur) {
            profile.enhanced.weight = 0.0;
        }
        match self {
            Policy::MostAllocated => {
                let fit = FitArguments { strategy: ScoringStrategy::MostAllocated, ..FitArguments::default() };
                let arguments = PluginArguments { fit, ..PluginArguments::default() };
                profile.plugins = Arc::new(ProfilePlugins::with_arguments(arguments));
            }
            Policy::TrimaranTlp | Policy::TrimaranLvrb => {
                // Their authors advise to switch these two off.
                profile.weights[PluginId::NodeResourcesFit.index()] = 0;
                profile.weights[PluginId::NodeResourcesBalancedAllocation.index()] = 0;
            }
            _ => {}
        }
        profile
    }

    /// Whether the core's choice stands, or the policy chooses among the feasible nodes itself.
    pub fn is_profile(self) -> bool {
        matches!(self, Policy::Default | Policy::MostAllocated | Policy::Enhanced | Policy::Augur)
    }
}
