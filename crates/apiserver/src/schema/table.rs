//! The table of API types, read once from `types.txt`; [`type_of`] finds a kind, [`Type::field`] a field.
//!
//! A line `# id GoName [at]` starts a type; `at` marks a struct that is owned as one value. Each further line is a field:
//! its JSON name, its wire type (`s` string, `b` bool, `i32`, `i64`, `f64`, `q` quantity, `t` time, `mt` time with
//! microseconds, `ios` int-or-string, `any`, `bytes`, `@id` struct, `[]T` list, `{}T` map, `s:Name` and `<Name>T` named),
//! its flags (`p` pointer, `o` omitempty, `z` omitzero, `r` required, `-` none) and its list semantics (`ps=` patch
//! strategy, `mk=` patch merge key, `lt=` list type, `lk=` list map keys, `at` atomic, `gr` granular, `d=` default) and number in
//! protobuf (`n=`).

use std::collections::HashMap;
use std::sync::LazyLock;

/// A struct of the API.
#[derive(Debug)]
pub struct Type {
    /// Package and name, such as `core.v1.Pod`.
    pub id: &'static str,
    /// The Go name that error texts show, such as `v1.Pod`.
    pub name: &'static str,
    /// Its fields in the order of declaration.
    pub fields: Vec<Field>,
    /// Whether field ownership sees it as one value.
    pub atomic: bool,
    slots: Vec<u8>,
}

/// A field of a struct.
#[derive(Debug)]
pub struct Field {
    /// The JSON name.
    pub name: &'static str,
    /// What it holds.
    pub wire: Wire,
    /// Whether absence differs from the zero value.
    pub pointer: bool,
    /// Whether empty values are left out.
    pub omit_empty: bool,
    /// Whether zero structs are left out.
    pub omit_zero: bool,
    /// Whether clients have to give it.
    pub required: bool,
    /// Whether strategic merge patches merge the list.
    pub merge: bool,
    /// Whether strategic merge patches replace the struct or map as a whole.
    pub replace: bool,
    /// Whether strategic merge patches honour `$retainKeys` here.
    pub retain_keys: bool,
    /// The key by which strategic merge patches match list items.
    pub merge_key: Option<&'static str>,
    /// How field ownership sees a list.
    pub list: ListType,
    /// Whether field ownership sees the map or struct as one value.
    pub atomic: bool,
    /// Whether field ownership sees the struct in parts although its type is atomic.
    pub granular: bool,
    /// The default that list keys take when absent.
    pub default: Option<&'static str>,
    /// The number in protobuf, after that of the struct it is embedded in and a dot, if it is; empty if there is none.
    pub number: &'static str,
}

/// How field ownership and server-side apply see a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListType {
    /// As one value.
    Atomic,
    /// As a set of scalars.
    Set,
    /// Items are told apart by these keys.
    Map(Vec<&'static str>),
}

/// A reference to a type of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeRef(u16);

impl TypeRef {
    /// The type.
    #[must_use]
    pub fn get(self) -> &'static Type {
        &TABLE.types[usize::from(self.0)]
    }
}

/// What a field, list item or map value holds. Names are those of named Go types, for error texts.
#[derive(Debug, Clone)]
pub enum Wire {
    /// A string.
    String(Option<&'static str>),
    /// A bool.
    Bool,
    /// A 32-bit integer.
    I32,
    /// A 64-bit integer.
    I64,
    /// A float.
    F64,
    /// A quantity, such as `100m`; amounts in resource lists are kept to thousandths.
    Quantity {
        /// Whether it is the value of a resource list.
        resource: bool,
    },
    /// A time in seconds.
    Time,
    /// A time in microseconds.
    MicroTime,
    /// An integer or a string.
    IntOrString,
    /// Anything.
    Any,
    /// Bytes, base64 on the wire.
    Bytes,
    /// A struct.
    Struct(TypeRef),
    /// A list.
    List(Box<Wire>, Option<&'static str>),
    /// A map by strings.
    Map(Box<Wire>, Option<&'static str>),
}

impl Wire {
    /// The Go type that error texts show.
    #[must_use]
    pub fn go_name(&self) -> String {
        match self {
            Wire::String(name) => name.unwrap_or("string").to_owned(),
            Wire::Bool => "bool".to_owned(),
            Wire::I32 => "int32".to_owned(),
            Wire::I64 => "int64".to_owned(),
            Wire::F64 => "float64".to_owned(),
            Wire::Quantity { .. } => "resource.Quantity".to_owned(),
            Wire::Time => "v1.Time".to_owned(),
            Wire::MicroTime => "v1.MicroTime".to_owned(),
            Wire::IntOrString => "intstr.IntOrString".to_owned(),
            Wire::Any => "interface {}".to_owned(),
            Wire::Bytes => "[]uint8".to_owned(),
            Wire::Struct(r) => r.get().name.to_owned(),
            Wire::List(_, Some(name)) | Wire::Map(_, Some(name)) => (*name).to_owned(),
            Wire::List(item, None) => format!("[]{}", item.go_name()),
            Wire::Map(item, None) => format!("map[string]{}", item.go_name()),
        }
    }

    /// The struct below, if this is one or a list or map of one.
    #[must_use]
    pub fn element(&self) -> Option<&'static Type> {
        match self {
            Wire::Struct(r) => Some(r.get()),
            Wire::List(item, _) | Wire::Map(item, _) => item.element(),
            _ => None,
        }
    }
}

impl Type {
    /// The index of a field by its JSON name.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        let mask = self.slots.len() - 1;
        let mut at = hash(name) & mask;
        loop {
            match self.slots[at] {
                NO_FIELD => return None,
                index if self.fields[usize::from(index)].name == name => return Some(usize::from(index)),
                _ => at = (at + 1) & mask,
            }
        }
    }

    /// A field by its JSON name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.position(name).map(|index| &self.fields[index])
    }

    /// The Go name without its package.
    #[must_use]
    pub fn short_name(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    /// The API group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &'static str {
        let package = self.id.split('.').next().unwrap_or("");
        GROUPS.iter().find(|(name, _)| *name == package).map_or("", |(_, group)| group)
    }

    /// The `apiVersion` of its objects.
    #[must_use]
    pub fn api_version(&self) -> String {
        match self.group() {
            "" => "v1".to_owned(),
            group => format!("{group}/v1"),
        }
    }

    /// Whether objects of it carry `kind` and `apiVersion` of their own.
    #[must_use]
    pub fn is_root(&self) -> bool {
        // These two are not part of the message in protobuf, where references' fields of the same names are.
        let bare = |at: usize, name: &str| self.fields.get(at).is_some_and(|f| f.name == name && f.number.is_empty());
        bare(0, "kind") && bare(1, "apiVersion")
    }
}

/// Go packages and the API groups that they hold.
const GROUPS: &[(&str, &str)] = &[
    ("apps", "apps"),
    ("authentication", "authentication.k8s.io"),
    ("authorization", "authorization.k8s.io"),
    ("autoscaling", "autoscaling"),
    ("batch", "batch"),
    ("coordination", "coordination.k8s.io"),
    ("core", ""),
    ("discovery", "discovery.k8s.io"),
    ("events", "events.k8s.io"),
    ("meta", "meta.k8s.io"),
    ("networking", "networking.k8s.io"),
    ("node", "node.k8s.io"),
    ("policy", "policy"),
    ("rbac", "rbac.authorization.k8s.io"),
    ("resource", "resource.k8s.io"),
    ("scheduling", "scheduling.k8s.io"),
    ("storage", "storage.k8s.io"),
];

const NO_FIELD: u8 = u8::MAX;

fn hash(name: &str) -> usize {
    // FNV-1a: names are short, so anything stronger would cost more than it saves.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    (hash ^ (hash >> 32)) as usize
}

struct Table {
    types: Vec<Type>,
    by_id: HashMap<&'static str, TypeRef>,
    /// Kinds with their own `kind` and `apiVersion`, sorted by group and kind.
    roots: Vec<((&'static str, &'static str), TypeRef)>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| read(include_str!("types.txt")));

/// The type of a kind; `None` when it is not in the table.
#[must_use]
pub fn type_of(group: &str, version: &str, kind: &str) -> Option<&'static Type> {
    if version != "v1" {
        return None;
    }
    let table = &*TABLE;
    let at = table.roots.binary_search_by(|(key, _)| key.cmp(&(group, kind))).ok()?;
    Some(table.roots[at].1.get())
}

/// A type by package and name, such as `core.v1.PodSpec`.
#[must_use]
pub fn type_by_id(id: &str) -> Option<&'static Type> {
    TABLE.by_id.get(id).map(|r| r.get())
}

/// All types, sorted by id.
pub fn all_types() -> impl Iterator<Item = &'static Type> {
    TABLE.types.iter()
}

fn read(text: &'static str) -> Table {
    let mut by_id = HashMap::new();
    for (index, line) in text.lines().filter(|line| line.starts_with("# ")).enumerate() {
        if let (Some(id), Ok(index)) = (line[2..].split(' ').next(), u16::try_from(index)) {
            by_id.insert(id, TypeRef(index));
        }
    }
    let mut types: Vec<Type> = Vec::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# ") {
            let mut parts = head.split(' ');
            let id = parts.next().unwrap_or_default();
            let name = parts.next().unwrap_or_default();
            let atomic = parts.next() == Some("at");
            types.push(Type { id, name, fields: Vec::new(), atomic, slots: Vec::new() });
        } else if let (Some(ty), false) = (types.last_mut(), line.is_empty()) {
            ty.fields.push(read_field(line, &by_id));
        }
    }
    for ty in &mut types {
        let size = (ty.fields.len() * 2 + 1).next_power_of_two();
        let mut slots = vec![NO_FIELD; size];
        for (index, field) in ty.fields.iter().enumerate() {
            let mut at = hash(field.name) & (size - 1);
            while slots[at] != NO_FIELD {
                at = (at + 1) & (size - 1);
            }
            slots[at] = u8::try_from(index).unwrap_or(NO_FIELD);
        }
        ty.slots = slots;
    }
    let mut roots: Vec<_> = types
        .iter()
        .filter(|ty| ty.is_root())
        .filter_map(|ty| Some(((ty.group(), ty.short_name()), *by_id.get(ty.id)?)))
        .collect();
    roots.sort_unstable_by_key(|(key, _)| *key);
    Table { types, by_id, roots }
}

fn read_field(line: &'static str, by_id: &HashMap<&'static str, TypeRef>) -> Field {
    let mut parts = line.split(' ');
    let name = parts.next().unwrap_or_default();
    let wire = read_wire(parts.next().unwrap_or_default(), by_id);
    let flags = parts.next().unwrap_or_default();
    let mut field = Field {
        name,
        wire,
        pointer: flags.contains('p'),
        omit_empty: flags.contains('o'),
        omit_zero: flags.contains('z'),
        required: flags.contains('r'),
        merge: false,
        replace: false,
        retain_keys: false,
        merge_key: None,
        list: ListType::Atomic,
        atomic: false,
        granular: false,
        default: None,
        number: "",
    };
    let (mut list_type, mut keys) = ("", Vec::new());
    for part in parts {
        match part.split_once('=') {
            Some(("ps", value)) => {
                field.merge = value.split(',').any(|s| s == "merge");
                field.replace = value == "replace";
                field.retain_keys = value.split(',').any(|s| s == "retainKeys");
            }
            Some(("mk", value)) => field.merge_key = Some(value),
            Some(("lt", value)) => list_type = value,
            Some(("lk", value)) => keys = value.split(',').collect(),
            Some(("d", value)) => field.default = Some(value),
            Some(("n", value)) => field.number = value,
            _ if part == "gr" => field.granular = true,
            _ => field.atomic = part == "at",
        }
    }
    field.list = match list_type {
        "map" => ListType::Map(keys),
        "set" => ListType::Set,
        _ => ListType::Atomic,
    };
    field
}

fn read_wire(text: &'static str, by_id: &HashMap<&'static str, TypeRef>) -> Wire {
    if let Some(id) = text.strip_prefix('@') {
        return by_id.get(id).map_or(Wire::Any, |r| Wire::Struct(*r));
    }
    if let Some(item) = text.strip_prefix("[]") {
        return Wire::List(Box::new(read_wire(item, by_id)), None);
    }
    if let Some(item) = text.strip_prefix("{}") {
        return Wire::Map(Box::new(read_wire(item, by_id)), None);
    }
    if let Some((name, inner)) = text.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        return match read_wire(inner, by_id) {
            Wire::List(item, _) => Wire::List(item, Some(name)),
            Wire::Map(_, _) if name == "v1.ResourceList" => {
                Wire::Map(Box::new(Wire::Quantity { resource: true }), Some(name))
            }
            Wire::Map(item, _) => Wire::Map(item, Some(name)),
            other => other,
        };
    }
    match text {
        "b" => Wire::Bool,
        "i32" => Wire::I32,
        "i64" => Wire::I64,
        "f64" => Wire::F64,
        "q" => Wire::Quantity { resource: false },
        "t" => Wire::Time,
        "mt" => Wire::MicroTime,
        "ios" => Wire::IntOrString,
        "any" => Wire::Any,
        "bytes" => Wire::Bytes,
        _ => Wire::String(text.strip_prefix("s:")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_understood() {
        let kinds = ["s", "b", "i32", "i64", "f64", "q", "t", "mt", "ios", "any", "bytes"];
        for line in include_str!("types.txt").lines().filter(|l| !l.starts_with("# ") && !l.is_empty()) {
            let mut wire = line.split(' ').nth(1).unwrap();
            while let Some(rest) = wire
                .strip_prefix("[]")
                .or_else(|| wire.strip_prefix("{}"))
                .or_else(|| wire.strip_prefix('<').and_then(|w| w.split_once('>')).map(|(_, w)| w))
            {
                wire = rest;
            }
            let known = kinds.contains(&wire)
                || wire.starts_with("s:")
                || wire.strip_prefix('@').is_some_and(|id| type_by_id(id).is_some());
            assert!(known, "unknown wire type in line {line:?}");
        }
        assert!(all_types().all(|ty| ty.fields.len() < usize::from(NO_FIELD)));
    }

    #[test]
    fn kinds_and_fields_are_found() {
        let pod = type_of("", "v1", "Pod").unwrap();
        assert_eq!(pod.name, "v1.Pod");
        let spec = pod.field("spec").unwrap().wire.element().unwrap();
        let containers = spec.field("containers").unwrap();
        assert_eq!(containers.merge_key, Some("name"));
        assert_eq!(containers.list, ListType::Map(vec!["name"]));
        assert!(spec.field("Containers").is_none());
        assert_eq!(
            type_of("rbac.authorization.k8s.io", "v1", "Role").unwrap().api_version(),
            "rbac.authorization.k8s.io/v1"
        );
        assert!(type_of("", "v2", "Pod").is_none());
        assert!(type_of("", "v1", "PodSpec").is_none());
        for ty in all_types() {
            for (index, field) in ty.fields.iter().enumerate() {
                assert_eq!(ty.position(field.name), Some(index), "{} {}", ty.id, field.name);
            }
        }
    }
}
