//! The model file: [`Model::to_bytes`] and [`Model::from_bytes`]. Its layout is described in `docs/model-file.md`.
//!
//! The same model always gives the same bytes. The last 32 bytes are the SHA-256 of all before them, so that a file that was cut,
//! changed or mixed up is refused; what remains is read with every count and index checked.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::bins::{BinnedRows, Bins, Feature};
use crate::calibrate::Calibrator;
use crate::error::ForestError;
use crate::forest::{Forest, Output, logistic};
use crate::tree::TreeNode;

/// The first bytes of every model file.
pub const MAGIC: &[u8; 8] = b"AUGURFST";
/// The version of the layout that is written and read.
pub const VERSION: u32 = 1;
const HASH: usize = 32;
/// Magic, version, length and hash of names.
const HEADER: usize = 8 + 4 + 8 + HASH;

/// A second forest whose log-odds are mixed in.
#[derive(Debug, Clone, PartialEq)]
pub struct Blended {
    /// Its trees, over the same codes.
    pub forest: Forest,
    /// Its share in the mixed log-odds, between 0 and 1.
    pub share: f32,
}

/// The probability whose log-odds are the mean of those of two, the second by its share. Both are held 1e-4 away from 0 and 1.
pub(crate) fn mix(first: f32, second: f32, share: f32) -> f32 {
    logistic(log_odds(first) * (1.0 - share) + log_odds(second) * share)
}

/// ln(p / (1 - p)) with p held 1e-4 away from 0 and 1.
pub(crate) fn log_odds(p: f32) -> f32 {
    let p = p.clamp(1e-4, 1.0 - 1e-4);
    (p / (1.0 - p)).ln()
}

/// A forest with all that predicting from numbers needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// How columns become codes.
    pub bins: Bins,
    /// The trees.
    pub forest: Forest,
    /// A second forest that is mixed in, for probabilities only.
    pub blended: Option<Blended>,
    /// What corrects the forest's predictions.
    pub calibrator: Calibrator,
    /// Notes, as window, seed, metrics, and the model this one came from.
    pub metadata: BTreeMap<String, String>,
}

impl Model {
    /// Calibrated predictions of columns in the order of the features.
    ///
    /// # Errors
    /// When the columns do not fit the model.
    pub fn predict(&self, columns: &[&[f32]]) -> Result<Vec<f32>, ForestError> {
        self.predict_rows(&self.bins.encode(columns)?)
    }

    /// Calibrated predictions of rows of codes.
    ///
    /// # Errors
    /// When the rows are of another schema.
    pub fn predict_rows(&self, rows: &BinnedRows) -> Result<Vec<f32>, ForestError> {
        let mut out = match &self.blended {
            // All of it is the second's.
            Some(blended) if blended.share >= 1.0 => blended.forest.predict(rows)?,
            _ => self.forest.predict(rows)?,
        };
        if let Some(blended) = self.blended.as_ref().filter(|blended| blended.share < 1.0) {
            for (first, second) in out.iter_mut().zip(blended.forest.predict(rows)?) {
                *first = mix(*first, second, blended.share);
            }
        }
        self.calibrator.apply_to(&mut out);
        Ok(out)
    }

    /// The SHA-256 of the features' names in their order: models that read the same columns share it.
    #[must_use]
    pub fn schema(&self) -> [u8; 32] {
        schema_of(self.bins.features().iter().map(|f| f.name.as_str()))
    }

    /// Refuses a model that was made for other columns.
    ///
    /// # Errors
    /// When names or their order differ; the message names the first that does.
    pub fn expect_features<N: AsRef<str>>(&self, names: &[N]) -> Result<(), ForestError> {
        let own = self.bins.features();
        if own.len() != names.len() {
            return Err(ForestError::File(format!("it has {} features, expected {}", own.len(), names.len())));
        }
        match own.iter().zip(names).position(|(own, name)| own.name != name.as_ref()) {
            Some(at) => Err(ForestError::File(format!(
                "feature {at} is {}, expected {}: it was trained for another schema, train again",
                own[at].name,
                names[at].as_ref()
            ))),
            None => Ok(()),
        }
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&self.schema());
        put_u32(&mut out, self.metadata.len());
        for (key, value) in &self.metadata {
            put_text(&mut out, key);
            put_text(&mut out, value);
        }
        put_u32(&mut out, self.bins.features().len());
        for feature in self.bins.features() {
            put_text(&mut out, &feature.name);
            out.extend_from_slice(&feature.fill.to_le_bytes());
            put_numbers(&mut out, &feature.edges);
        }
        put_calibrator(&mut out, &self.calibrator);
        put_forest(&mut out, &self.forest);
        out.push(u8::from(self.blended.is_some()));
        if let Some(blended) = &self.blended {
            out.extend_from_slice(&blended.share.to_le_bytes());
            put_forest(&mut out, &blended.forest);
        }
        let length = (out.len() + HASH) as u64;
        out[12..20].copy_from_slice(&length.to_le_bytes());
        let hash = Sha256::digest(&out);
        out.extend_from_slice(&hash);
        out
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// When they are no model file, one of another version, cut, changed, or inconsistent.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ForestError> {
        let wrong = |what: String| Err(ForestError::File(what));
        if bytes.get(..8) != Some(MAGIC) {
            return wrong("it does not begin with AUGURFST: this is no model file".to_owned());
        }
        let mut reader = Reader { bytes, at: 8 };
        let version = reader.u32()?;
        if version != VERSION {
            return wrong(format!("it has version {version}, this program reads version {VERSION}: train again"));
        }
        let length = u64::from_le_bytes(reader.array()?);
        if bytes.len() as u64 != length || bytes.len() < HEADER + HASH {
            return wrong(format!("it has {} bytes, {length} were written: it is torn", bytes.len()));
        }
        let (content, hash) = bytes.split_at(bytes.len() - HASH);
        if Sha256::digest(content).as_slice() != hash {
            return wrong("its SHA-256 does not fit its content: it was damaged or changed".to_owned());
        }
        reader.bytes = content;
        let schema: [u8; HASH] = reader.array()?;
        let mut metadata = BTreeMap::new();
        for _ in 0..reader.count(8)? {
            metadata.insert(reader.text()?, reader.text()?);
        }
        let mut features = Vec::new();
        for _ in 0..reader.count(12)? {
            features.push(Feature { name: reader.text()?, fill: reader.f32()?, edges: reader.numbers()? });
        }
        if schema != schema_of(features.iter().map(|f| f.name.as_str())) {
            return wrong("the hash of its features' names does not fit them".to_owned());
        }
        let bins = Bins::from_features(features)?;
        let calibrator = calibrator(&mut reader)?;
        let first = forest(&mut reader, &bins)?;
        let blended = match reader.u8()? {
            0 => None,
            _ => {
                let share = reader.f32()?;
                if !(0.0..=1.0).contains(&share) {
                    return wrong(format!("the share of its second forest is {share}"));
                }
                Some(Blended { share, forest: forest(&mut reader, &bins)? })
            }
        };
        if reader.at != content.len() {
            return wrong(format!("{} bytes are left over at its end", content.len() - reader.at));
        }
        Ok(Self { bins, forest: first, blended, calibrator, metadata })
    }
}

fn schema_of<'a>(names: impl Iterator<Item = &'a str>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for name in names {
        hash.update((name.len() as u32).to_le_bytes());
        hash.update(name.as_bytes());
    }
    hash.finalize().into()
}

fn put_u32(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&(value as u32).to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_u32(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put_numbers(out: &mut Vec<u8>, numbers: &[f32]) {
    put_u32(out, numbers.len());
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn put_calibrator(out: &mut Vec<u8>, calibrator: &Calibrator) {
    match calibrator {
        Calibrator::Identity => out.push(0),
        Calibrator::Platt { slope, intercept } => {
            out.push(1);
            out.extend_from_slice(&slope.to_le_bytes());
            out.extend_from_slice(&intercept.to_le_bytes());
        }
        Calibrator::Isotonic { inputs, outputs } => {
            out.push(2);
            put_numbers(out, inputs);
            put_numbers(out, outputs);
        }
    }
}

fn calibrator(reader: &mut Reader<'_>) -> Result<Calibrator, ForestError> {
    match reader.u8()? {
        0 => Ok(Calibrator::Identity),
        1 => Ok(Calibrator::Platt {
            slope: f64::from_le_bytes(reader.array()?),
            intercept: f64::from_le_bytes(reader.array()?),
        }),
        2 => {
            let (inputs, outputs) = (reader.numbers()?, reader.numbers()?);
            let rising = inputs.windows(2).all(|pair| pair[0] < pair[1]) && outputs.is_sorted();
            let sound = outputs.iter().all(|p| (0.0..=1.0).contains(p)) && inputs.iter().all(|x| x.is_finite());
            if inputs.len() != outputs.len() || !rising || !sound {
                return Err(ForestError::File("its isotonic calibrator is not a rising function".to_owned()));
            }
            Ok(Calibrator::Isotonic { inputs, outputs })
        }
        kind => Err(ForestError::File(format!("its calibrator is of unknown kind {kind}"))),
    }
}

fn put_forest(out: &mut Vec<u8>, forest: &Forest) {
    let (kind, start) = match forest.output {
        Output::Mean => (0, 0.0),
        Output::Sum(start) => (1, start),
        Output::Logistic(start) => (2, start),
    };
    out.push(kind);
    out.extend_from_slice(&start.to_le_bytes());
    put_u32(out, forest.trees());
    for tree in forest.to_trees() {
        let bounded = tree.iter().any(|n| n.lower != f32::NEG_INFINITY || n.upper != f32::INFINITY);
        put_u32(out, tree.len());
        out.push(u8::from(bounded));
        for node in &tree {
            out.extend_from_slice(&(node.left as u16).to_le_bytes());
            out.push(node.slot);
            out.push(node.threshold);
            if node.left != 0 {
                out.extend_from_slice(&node.gain.to_le_bytes());
                continue;
            }
            for number in [node.value, node.cover] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            if bounded {
                out.extend_from_slice(&node.lower.to_le_bytes());
                out.extend_from_slice(&node.upper.to_le_bytes());
            }
        }
    }
}

fn forest(reader: &mut Reader<'_>, bins: &Bins) -> Result<Forest, ForestError> {
    let (kind, start) = (reader.u8()?, reader.f32()?);
    let output = match kind {
        0 => Output::Mean,
        1 if start.is_finite() => Output::Sum(start),
        2 if start.is_finite() => Output::Logistic(start),
        _ => return Err(ForestError::File(format!("its output is of unknown kind {kind} or start {start}"))),
    };
    let mut trees = Vec::new();
    for _ in 0..reader.count(13)? {
        let nodes = reader.count(8)?;
        let bounded = reader.u8()? == 1;
        let mut tree = Vec::with_capacity(nodes);
        for _ in 0..nodes {
            let left = u16::from_le_bytes(reader.array()?);
            let (slot, threshold) = (reader.u8()?, reader.u8()?);
            let mut node = TreeNode::leaf(0.0, 0.0);
            (node.left, node.slot, node.threshold) = (u32::from(left), slot, threshold);
            if left != 0 {
                node.gain = reader.f32()?;
            } else {
                (node.value, node.cover) = (reader.f32()?, reader.f32()?);
                if bounded {
                    (node.lower, node.upper) = (reader.f32()?, reader.f32()?);
                }
                // A clamp to bounds that are out of order would fail later.
                let ordered = node.lower <= node.upper;
                if !ordered || !node.cover.is_finite() {
                    return Err(ForestError::File("a leaf's bounds or cover are not numbers".to_owned()));
                }
            }
            tree.push(node);
        }
        trees.push(tree);
    }
    Forest::from_trees(bins, &trees, output)
}

/// Reads numbers one after the other, never beyond the end.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ForestError> {
        let bytes = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let bytes = bytes.ok_or_else(|| ForestError::File(format!("it ends within a value at byte {}", self.at)))?;
        self.at += N;
        Ok(*bytes)
    }

    fn u8(&mut self) -> Result<u8, ForestError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, ForestError> {
        self.array().map(u32::from_le_bytes)
    }

    fn f32(&mut self) -> Result<f32, ForestError> {
        self.array().map(f32::from_le_bytes)
    }

    /// How many things of at least that many bytes follow; refused when the file has no room for them.
    fn count(&mut self, bytes_each: usize) -> Result<usize, ForestError> {
        let count = self.u32()? as usize;
        if count.saturating_mul(bytes_each) > self.bytes.len() - self.at {
            return Err(ForestError::File(format!("it says {count} entries at byte {}, more than it holds", self.at)));
        }
        Ok(count)
    }

    fn text(&mut self) -> Result<String, ForestError> {
        let length = self.count(1)?;
        let bytes = self.bytes.get(self.at..self.at + length).unwrap_or_default();
        self.at += length;
        String::from_utf8(bytes.to_vec()).map_err(|_| ForestError::File("a name in it is not UTF-8".to_owned()))
    }

    fn numbers(&mut self) -> Result<Vec<f32>, ForestError> {
        (0..self.count(4)?).map(|_| self.f32()).collect()
    }
}
