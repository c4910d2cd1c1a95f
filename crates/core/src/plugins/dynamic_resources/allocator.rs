//! Finds devices for claims on a node: the first solution in the order of pools, slices and devices, as kube-scheduler finds it.
//!
//! [`allocate`] tries devices one after the other, claim by claim and request by request, and goes back where that ends nowhere.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use augur_notation::Quantity;

use super::capacity;
use super::constraints::Constraint;
use super::pools::{Condition, Pool};
use crate::object::{
    AllocatedDevice, Amount, ConstraintKind, CounterSet, Device, DeviceAllocation, DeviceClass, DeviceConfig,
    DeviceConstraint, DeviceId, DeviceRequest, DeviceToleration, ExactRequest, Node, Reach, ResourceSlice,
    WrittenSelector, WrittenTerm,
};
use crate::state::{Consumed, DeviceBook, RelatedObjects, mix, name_hash};

/// How many devices a claim can have.
const MOST_DEVICES: usize = 32;

/// Steps of the search on one node after which it is given up, where kube-scheduler gives up after ten seconds.
const MOST_STEPS: u32 = 200_000;

/// A claim that is to get devices.
pub(super) struct Wanted<'a> {
    /// `namespace/name`, for messages.
    pub(super) name: String,
    /// Tells the claim's shares of devices apart from those of others.
    pub(super) uid: &'a str,
    pub(super) requests: &'a [DeviceRequest],
    pub(super) constraints: &'a [DeviceConstraint],
    pub(super) config: &'a [DeviceConfig],
}

/// Why claims get no devices on a node.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoDevices {
    /// There are none that will do.
    NotEnough,
    /// There are none, and a pool that contradicts itself was left out.
    InvalidPool,
    /// Something is wrong with claim or class, wherever the pod might go.
    Broken(String),
}

/// What is left of counters, by set and name.
type Left = HashMap<(Arc<str>, Arc<str>), Quantity>;

/// What keeps the search from going on.
enum Halt {
    /// The claim would have too many devices.
    TooMany,
    Broken(String),
}

type Found = Result<bool, Halt>;

/// A device with where it is.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    pool: usize,
    slice: &'a ResourceSlice,
    at: usize,
    device: &'a Device,
}

impl Candidate<'_> {
    fn id(&self) -> DeviceId {
        DeviceId { pool: self.slice.pool.clone(), device: self.device.name.clone() }
    }
}

/// A request, or one of its alternatives.
struct Alternative<'a> {
    request: &'a ExactRequest,
    class: &'a DeviceClass,
    /// Devices that it needs.
    count: usize,
    /// All devices, if it wants all.
    all: Option<Vec<Candidate<'a>>>,
}

/// A request with its alternatives.
struct Plan<'a> {
    name: &'a Arc<str>,
    options: Vec<Alternative<'a>>,
    prioritized: bool,
    /// The alternative of the solution.
    selected: usize,
}

/// A device that is chosen.
struct Chosen<'a> {
    candidate: Candidate<'a>,
    request: usize,
    option: usize,
    consumed: Vec<(crate::object::QualifiedName, Quantity)>,
}

/// A claim while devices are looked for.
struct Claim<'a> {
    wanted: &'a Wanted<'a>,
    plans: Vec<Plan<'a>>,
    constraints: Vec<Constraint<'a>>,
    chosen: Vec<Chosen<'a>>,
}

/// Which device of which request is looked for.
#[derive(Clone, Copy)]
struct Place {
    claim: usize,
    request: usize,
    option: usize,
    device: usize,
}

/// Where the search for the next device of a request begins.
#[derive(Clone, Copy, Default)]
struct Start {
    pool: usize,
    slice: usize,
    device: usize,
}

struct Search<'a> {
    node: &'a Node,
    book: &'a DeviceBook,
    pools: &'a [Pool<'a>],
    claims: Vec<Claim<'a>>,
    /// What selectors said, by device and by claim, request and alternative.
    selectable: HashMap<(usize, usize, usize, usize, usize), bool>,
    /// Devices about to be allocated as a whole, with the claims that get them.
    allocating: HashMap<DeviceId, BTreeSet<usize>>,
    /// Shares about to be allocated: how many, and what they consume.
    sharing: HashMap<DeviceId, (u32, Consumed)>,
    /// What is left of each pool's counters, worked out when first needed.
    counters: Vec<Option<Left>>,
    steps: u32,
}

/// Devices for the claims on a node, one allocation a claim.
///
/// # Errors
/// See [`NoDevices`].
pub(super) fn allocate<'a>(
    node: &'a Node,
    related: &'a RelatedObjects,
    pools: &'a [Pool<'a>],
    wanted: &'a [Wanted<'a>],
) -> Result<Vec<DeviceAllocation>, NoDevices> {
    let mut search = Search {
        node,
        book: related.devices(),
        pools,
        claims: Vec::new(),
        selectable: HashMap::new(),
        allocating: HashMap::new(),
        sharing: HashMap::new(),
        counters: pools.iter().map(|_| None).collect(),
        steps: 0,
    };
    for claim in wanted {
        search.plan(claim, related).map_err(NoDevices::Broken)?;
    }
    match search.claim(0) {
        Ok(true) => search.claims.iter().map(|claim| search.result(claim).map_err(NoDevices::Broken)).collect(),
        Err(Halt::Broken(error)) => Err(NoDevices::Broken(error)),
        Err(Halt::TooMany) => Err(NoDevices::Broken("allocation max size exceeded".to_owned())),
        Ok(false) => {
            let invalid = pools.iter().any(|pool| pool.condition == Condition::Invalid);
            Err(if invalid { NoDevices::InvalidPool } else { NoDevices::NotEnough })
        }
    }
}

impl<'a> Search<'a> {
    /// Works out what each request of the claim needs.
    fn plan(&mut self, wanted: &'a Wanted<'a>, related: &'a RelatedObjects) -> Result<(), String> {
        let at = self.claims.len();
        let name = &wanted.name;
        let claim = Claim { wanted, plans: Vec::new(), constraints: Vec::new(), chosen: Vec::new() };
        self.claims.push(claim);
        let mut least = 0;
        for (request_at, request) in wanted.requests.iter().enumerate() {
            let (requests, prioritized) = match request {
                DeviceRequest::Exactly(request) => (std::slice::from_ref(request), false),
                DeviceRequest::FirstAvailable { alternatives, .. } => (&alternatives[..], true),
                DeviceRequest::Unknown { name: request } => {
                    return Err(format!("claim {name}, request {request}: unsupported request type"));
                }
            };
            let mut options = Vec::new();
            for (option_at, request) in requests.iter().enumerate() {
                options.push(self.option((at, request_at, option_at), name, request, related)?);
            }
            least += options.iter().map(|option| option.count).min().unwrap_or(0);
            self.claims[at].plans.push(Plan { name: request.name(), options, prioritized, selected: 0 });
        }
        if least > MOST_DEVICES {
            return Err(format!(
                "claim {name}: number of requested devices {least} exceeds the claim limit of {MOST_DEVICES}"
            ));
        }
        for (number, rule) in wanted.constraints.iter().enumerate() {
            if rule.kind == ConstraintKind::Unknown {
                return Err(format!(
                    "claim {name}, constraint #{number}: empty constraint (unsupported constraint type?)"
                ));
            }
            self.claims[at].constraints.push(Constraint::new(rule));
        }
        Ok(())
    }

    fn option(
        &mut self,
        key: (usize, usize, usize),
        claim: &str,
        request: &'a ExactRequest,
        related: &'a RelatedObjects,
    ) -> Result<Alternative<'a>, String> {
        let place = || format!("claim {claim}, request {}", request.name);
        if let Some(unknown) = request.selectors.iter().position(|selector| !selector.is_known()) {
            return Err(format!("{}, selector #{unknown}: CEL expression empty (unsupported selector type?)", place()));
        }
        if request.class.is_empty() {
            return Err(format!("{}: missing device class name (unsupported request type?)", place()));
        }
        let Some(class) = related.device_class(&request.class) else {
            return Err(format!("{}: could not retrieve device class {}: not found", place(), request.class));
        };
        let mut option = Alternative { request, class, count: 0, all: None };
        match &request.amount {
            Amount::Count(count) => {
                option.count =
                    usize::try_from(*count).map_err(|_| format!("{}: exact count {count} is too large", place()))?;
            }
            Amount::All => {
                let mut all = Vec::new();
                for (pool_at, pool) in self.pools.iter().enumerate() {
                    match pool.condition {
                        Condition::Incomplete => {
                            return Err(format!(
                                "{}: asks for all devices, but resource pool {} is currently being updated",
                                place(),
                                pool.id
                            ));
                        }
                        Condition::Invalid => {
                            return Err(format!(
                                "{}: asks for all devices, but resource pool {} is currently invalid",
                                place(),
                                pool.id
                            ));
                        }
                        Condition::Usable => {}
                    }
                    for (slice, at) in
                        pool.slices.iter().flat_map(|slice| (0..slice.devices.len()).map(move |at| (*slice, at)))
                    {
                        let candidate = Candidate { pool: pool_at, slice, at, device: &slice.devices[at] };
                        if self.is_selectable(key, claim, request, class, candidate)?
                            && self.suffices(request, candidate)
                        {
                            all.push(candidate);
                        }
                    }
                }
                option.count = all.len();
                option.all = Some(all);
            }
            Amount::Unknown(mode) => return Err(format!("{}: unsupported count mode {mode}", place())),
        }
        Ok(option)
    }

    /// Whether class and request take the device, and the node reaches it.
    fn is_selectable(
        &mut self,
        (claim_at, request_at, option_at): (usize, usize, usize),
        claim: &str,
        request: &ExactRequest,
        class: &DeviceClass,
        candidate: Candidate<'a>,
    ) -> Result<bool, String> {
        let key = (std::ptr::from_ref(candidate.slice).addr(), candidate.at, claim_at, request_at, option_at);
        if let Some(known) = self.selectable.get(&key) {
            return Ok(*known);
        }
        let driver = &candidate.slice.pool.driver;
        let of_class = class.selectors.iter().enumerate().map(|(number, selector)| (true, number, selector));
        let own = request.selectors.iter().enumerate().map(|(number, selector)| (false, number, selector));
        let mut selectable = true;
        for (from_class, number, selector) in of_class.chain(own) {
            selectable = selector.matches(driver, candidate.device).map_err(|error| {
                let whose = if from_class { format!("class {}", class.name) } else { format!("claim {claim}") };
                format!("{whose}: selector #{number}: {error}")
            })?;
            if !selectable {
                break;
            }
        }
        if selectable && candidate.slice.reach == Reach::PerDevice {
            selectable = candidate.device.reach.contains(&self.node.name, &self.node.labels);
        }
        self.selectable.insert(key, selectable);
        Ok(selectable)
    }

    fn suffices(&self, request: &ExactRequest, candidate: Candidate<'_>) -> bool {
        if request.capacity.is_empty() && !candidate.device.allow_multiple {
            // Nothing is shared; what the policies say of a default is the driver's word.
            return capacity::suffices(&[], candidate.device, None, None);
        }
        let id = candidate.id();
        let sharing = self.sharing.get(&id).map(|(_, consumed)| consumed);
        capacity::suffices(&request.capacity, candidate.device, self.book.consumed(&id), sharing)
    }

    fn step(&mut self) -> Result<(), Halt> {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Err(Halt::Broken(format!("node {}: timed out trying to allocate devices", self.node.name)));
        }
        Ok(())
    }

    /// Devices for this claim and those after it.
    fn claim(&mut self, at: usize) -> Found {
        if at >= self.claims.len() {
            return Ok(true);
        }
        match self.request(at, 0) {
            // Other devices for a claim before may let an alternative with fewer be chosen here.
            Err(Halt::TooMany) if at > 0 => Ok(false),
            found => found,
        }
    }

    /// Devices for this request of the claim and those after it.
    fn request(&mut self, claim: usize, at: usize) -> Found {
        self.step()?;
        let Some(plan) = self.claims[claim].plans.get(at) else { return self.claim(claim + 1) };
        if !plan.prioritized {
            return self.devices(Place { claim, request: at, option: 0, device: 0 }, Start::default());
        }
        let mut too_many = true;
        for option in 0..plan.options.len() {
            match self.devices(Place { claim, request: at, option, device: 0 }, Start::default()) {
                Ok(true) => {
                    self.claims[claim].plans[at].selected = option;
                    return Ok(true);
                }
                Ok(false) => too_many = false,
                Err(Halt::TooMany) => {}
                Err(broken) => return Err(broken),
            }
        }
        if too_many { Err(Halt::TooMany) } else { Ok(false) }
    }

    /// This device of a request and all that comes after it.
    fn devices(&mut self, place: Place, start: Start) -> Found {
        self.step()?;
        let option = &self.claims[place.claim].plans[place.request].options[place.option];
        let (request, class, count) = (option.request, option.class, option.count);
        if option.all.as_ref().is_some_and(Vec::is_empty) {
            return Ok(false);
        }
        if place.device >= count {
            return self.request(place.claim, place.request + 1);
        }
        if self.claims[place.claim].chosen.len() + count - place.device > MOST_DEVICES {
            return Err(Halt::TooMany);
        }
        let next = Place { device: place.device + 1, ..place };
        if let Some(all) = &option.all {
            // Their order does not matter: one that cannot be had is the end of it.
            let candidate = all[place.device];
            if !self.choose(place, candidate, true)? {
                return Ok(false);
            }
            return match self.devices(next, Start::default()) {
                Ok(true) => Ok(true),
                other => {
                    self.unchoose(place, candidate);
                    other
                }
            };
        }
        let admin = request.admin_access == Some(true);
        let claim = &self.claims[place.claim].wanted.name;
        let pools = self.pools;
        for (pool_at, pool) in pools.iter().enumerate().skip(start.pool) {
            if pool.condition != Condition::Usable {
                continue;
            }
            let first_slice = if pool_at == start.pool { start.slice } else { 0 };
            for (slice_at, &slice) in pool.slices.iter().enumerate().skip(first_slice) {
                let first = if (pool_at, slice_at) == (start.pool, start.slice) { start.device } else { 0 };
                for (at, device) in slice.devices.iter().enumerate().skip(first) {
                    let candidate = Candidate { pool: pool_at, slice, at, device };
                    if self.is_occupied(place.claim, admin, candidate) {
                        continue;
                    }
                    let key = (place.claim, place.request, place.option);
                    let selectable = self.is_selectable(key, claim, request, class, candidate).map_err(Halt::Broken)?;
                    if !selectable || !self.suffices(request, candidate) || !self.choose(place, candidate, false)? {
                        continue;
                    }
                    let beyond = Start { pool: pool_at, slice: slice_at, device: at + 1 };
                    match self.devices(next, beyond) {
                        Ok(true) => return Ok(true),
                        Ok(false) => self.unchoose(place, candidate),
                        Err(halt) => {
                            self.unchoose(place, candidate);
                            return Err(halt);
                        }
                    }
                }
            }
        }
        Ok(false)
    }

    /// Whether the device cannot be had: administrators share devices, but not within a claim.
    fn is_occupied(&self, claim: usize, admin: bool, candidate: Candidate<'_>) -> bool {
        let id = candidate.id();
        let claims = self.allocating.get(&id);
        if admin {
            claims.is_some_and(|claims| claims.contains(&claim))
        } else {
            claims.is_some_and(|claims| !claims.is_empty()) || self.book.is_taken(&id)
        }
    }

    /// Gives the device to the request, if it can be had. With `must`, a condition of the claim that keeps it from being had is a
    /// mistake in the claim.
    fn choose(&mut self, place: Place, candidate: Candidate<'a>, must: bool) -> Found {
        let plan = &self.claims[place.claim].plans[place.request];
        let request = plan.options[place.option].request;
        let (base, alternative) = (&**plan.name, plan.prioritized.then_some(&*request.name));
        let admin = request.admin_access == Some(true);
        let device = candidate.device;
        let id = candidate.id();
        if self.is_occupied(place.claim, admin, candidate)
            || is_kept_away(device, &request.tolerations)
            || !self.suffices(request, candidate)
        {
            return Ok(false);
        }
        let counted = self.consumes_counters(candidate, &id);
        if counted && !self.take_counters(candidate) {
            return Ok(false);
        }
        let driver = &candidate.slice.pool.driver;
        let mut added = 0;
        let constraints = &mut self.claims[place.claim].constraints;
        while let Some(constraint) = constraints.get_mut(added) {
            if constraint.add(base, alternative, driver, device) {
                added += 1;
                continue;
            }
            if must {
                return Err(Halt::Broken(format!(
                    "claim {}, request {}: cannot add device {id} because a claim constraint would not be satisfied",
                    self.claims[place.claim].wanted.name, request.name
                )));
            }
            constraints.iter_mut().take(added).for_each(|constraint| constraint.remove(base, alternative));
            if counted {
                self.give_back_counters(candidate);
            }
            return Ok(false);
        }
        let mut consumed = Vec::new();
        if device.allow_multiple {
            consumed = capacity::taken(&request.capacity, device);
            let (count, sums) = self.sharing.entry(id).or_default();
            *count += 1;
            for (name, amount) in &consumed {
                let sum = sums.entry(name.clone()).or_insert(Quantity::ZERO);
                *sum = sum.plus(*amount);
            }
        } else {
            self.allocating.entry(id).or_default().insert(place.claim);
        }
        let chosen = Chosen { candidate, request: place.request, option: place.option, consumed };
        self.claims[place.claim].chosen.push(chosen);
        Ok(true)
    }

    /// Takes back the device that was chosen last.
    fn unchoose(&mut self, place: Place, candidate: Candidate<'a>) {
        let claim = &mut self.claims[place.claim];
        let Some(chosen) = claim.chosen.pop() else { return };
        let plan = &claim.plans[place.request];
        let alternative = plan.prioritized.then_some(&*plan.options[place.option].request.name);
        claim.constraints.iter_mut().for_each(|constraint| constraint.remove(plan.name, alternative));
        let id = candidate.id();
        if candidate.device.allow_multiple {
            if let Some((count, sums)) = self.sharing.get_mut(&id) {
                *count = count.saturating_sub(1);
                for (name, amount) in &chosen.consumed {
                    if let Some(sum) = sums.get_mut(name) {
                        *sum = sum.plus(amount.negated());
                    }
                }
                if *count == 0 {
                    self.sharing.remove(&id);
                }
            }
        } else if let Some(claims) = self.allocating.get_mut(&id) {
            claims.remove(&place.claim);
        }
        if self.consumes_counters(candidate, &id) {
            self.give_back_counters(candidate);
        }
    }

    /// Whether taking the device takes counters: of a shared one, only the first share does.
    fn consumes_counters(&self, candidate: Candidate<'_>, id: &DeviceId) -> bool {
        let shared =
            candidate.device.allow_multiple && (self.book.consumed(id).is_some() || self.sharing.contains_key(id));
        !candidate.device.consumes.is_empty() && !shared
    }

    /// Takes the device's counters; false, and nothing is taken, if any counter of the pool would be overdrawn.
    fn take_counters(&mut self, candidate: Candidate<'a>) -> bool {
        let (pool, book) = (&self.pools[candidate.pool], self.book);
        let left = self.counters[candidate.pool].get_or_insert_with(|| left_of(pool, book));
        draw(left, &candidate.device.consumes, true);
        if left.values().any(|amount| amount.is_negative()) {
            draw(left, &candidate.device.consumes, false);
            return false;
        }
        true
    }

    fn give_back_counters(&mut self, candidate: Candidate<'a>) {
        if let Some(left) = &mut self.counters[candidate.pool] {
            draw(left, &candidate.device.consumes, false);
        }
    }

    /// The allocation of a claim whose devices are chosen.
    fn result(&self, claim: &Claim<'a>) -> Result<DeviceAllocation, String> {
        let devices = claim.chosen.iter().enumerate().map(|(number, chosen)| {
            let plan = &claim.plans[chosen.request];
            let request = plan.options[chosen.option].request;
            let device = chosen.candidate.device;
            let id = chosen.candidate.id();
            AllocatedDevice {
                request: request_name(plan, request),
                share: device.allow_multiple.then(|| share_id(claim.wanted.uid, &id, number)),
                admin_access: request.admin_access.filter(|admin| *admin),
                tolerations: request.tolerations.clone(),
                binding_conditions: device.binding_conditions.clone(),
                binding_failure_conditions: device.binding_failure_conditions.clone(),
                consumed: chosen.consumed.clone(),
                id,
            }
        });
        Ok(DeviceAllocation { devices: devices.collect(), config: config(claim), nodes: self.nodes(claim)?, at: None })
    }

    /// The nodes from which all chosen devices can be reached.
    fn nodes(&self, claim: &Claim<'_>) -> Result<Option<WrittenSelector>, String> {
        let mut term = WrittenTerm::default();
        for Chosen { candidate, .. } in &claim.chosen {
            let reach = match &candidate.slice.reach {
                Reach::PerDevice => &candidate.device.reach,
                reach => reach,
            };
            if candidate.device.binds_to_node || matches!(reach, Reach::Node(_)) {
                return Ok(Some(WrittenSelector::of_node(&self.node.name)));
            }
            let Reach::Selected(selector) = reach else { continue };
            match selector.written() {
                [] => {}
                [only] => {
                    for (from, to) in [(&only.expressions, &mut term.expressions), (&only.fields, &mut term.fields)] {
                        for requirement in from {
                            if !to.contains(requirement) {
                                to.push(requirement.clone());
                            }
                        }
                    }
                }
                terms => {
                    let name = &claim.wanted.name;
                    let count = terms.len();
                    return Err(format!(
                        "create NodeSelector for claim {name}: unsupported ResourceSlice.NodeSelector with {count} terms"
                    ));
                }
            }
        }
        let any = !term.expressions.is_empty() || !term.fields.is_empty();
        Ok(any.then(|| WrittenSelector::new(vec![term])))
    }
}

/// Whether a taint keeps the request from the device.
fn is_kept_away(device: &Device, tolerations: &[DeviceToleration]) -> bool {
    device.taints.iter().any(|taint| {
        matches!(&*taint.effect, "NoSchedule" | "NoExecute") && !tolerations.iter().any(|t| t.tolerates(taint))
    })
}

/// What claims have left of the pool's counters; may be below zero.
fn left_of(pool: &Pool<'_>, book: &DeviceBook) -> Left {
    let mut left = Left::new();
    for set in &pool.counters {
        for (name, amount) in &set.counters {
            left.insert((set.name.clone(), name.clone()), *amount);
        }
    }
    for device in pool.slices.iter().chain(&pool.elsewhere).flat_map(|slice| &slice.devices) {
        let in_use = || book.is_in_use(&DeviceId { pool: pool.id.clone(), device: device.name.clone() });
        if !device.consumes.is_empty() && in_use() {
            draw(&mut left, &device.consumes, true);
        }
    }
    left
}

fn draw(left: &mut Left, sets: &[CounterSet], take: bool) {
    for set in sets {
        for (name, amount) in &set.counters {
            if let Some(known) = left.get_mut(&(set.name.clone(), name.clone())) {
                *known = known.plus(if take { amount.negated() } else { *amount });
            }
        }
    }
}

fn request_name(plan: &Plan<'_>, request: &ExactRequest) -> Arc<str> {
    if plan.prioritized { format!("{}/{}", plan.name, request.name).into() } else { request.name.clone() }
}

/// Parameters for drivers: of the classes, each class once, then of the claim.
fn config(claim: &Claim<'_>) -> Vec<DeviceConfig> {
    let mut config: Vec<DeviceConfig> = Vec::new();
    let mut classes: Vec<(&str, std::ops::Range<usize>)> = Vec::new();
    let selected = || claim.plans.iter().filter_map(|plan| Some((plan, plan.options.get(plan.selected)?)));
    for (plan, option) in selected() {
        let request = request_name(plan, option.request);
        if let Some((_, range)) = classes.iter().find(|(name, _)| *name == &*option.class.name) {
            config[range.clone()].iter_mut().for_each(|config| config.requests.push(request.clone()));
            continue;
        }
        let start = config.len();
        config.extend(option.class.config.iter().map(|parameters| DeviceConfig {
            from_class: true,
            requests: vec![request.clone()],
            parameters: parameters.clone(),
        }));
        classes.push((&option.class.name, start..config.len()));
    }
    for own in claim.wanted.config {
        if own.requests.is_empty() {
            config.push(own.clone());
            continue;
        }
        for (plan, option) in selected() {
            if own.requests.contains(plan.name) || own.requests.contains(&request_name(plan, option.request)) {
                config.push(own.clone());
            }
        }
    }
    config
}

/// A name for a share of a device, in the form of a UUID: the same for the same claim, device and number.
fn share_id(claim: &str, device: &DeviceId, number: usize) -> Arc<str> {
    let first = mix(name_hash(claim) ^ mix(number as u64));
    let second = mix(name_hash(&device.to_string()) ^ first.rotate_left(32));
    let high = (first & !0xf000) | 0x4000;
    let low = (second & !(0b11 << 62)) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
    .into()
}
