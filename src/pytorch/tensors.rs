//! Names the tensors in an unpickled checkpoint by their paths: `state_dict.model.model.0.weight`.

use super::pickle::{Pickle, Problem, TOO_LARGE, Value};

/// The deepest nesting of dictionaries and modules.
const MAX_DEPTH: usize = 64;
/// The largest number of entries that are looked at, each once for every path that leads to it.
const MAX_ENTRIES: usize = 1 << 18;
/// The longest path of a tensor in bytes; those of a U-Net of depth 12 have about 100.
const MAX_NAME: usize = 512;
/// The largest number of tensors.
const MAX_TENSORS: usize = 1 << 15;
/// The attributes of a PyTorch module that hold its tensors and its parts. They are not a part of the name.
const MODULE: [&str; 3] = ["_parameters", "_buffers", "_modules"];

/// Returns the path of every tensor below `root`, and its index in [`Pickle::tensors`].
///
/// # Errors
/// The problem, if a limit is exceeded: the same dictionary may be reached on many paths.
pub(super) fn named(pickle: &Pickle, root: Value) -> Result<Vec<(String, usize)>, Problem> {
    let mut walk = Walk { pickle, found: vec![], entries: 0 };
    walk.value("", root, 0)?;
    Ok(walk.found)
}

struct Walk<'a> {
    pickle: &'a Pickle<'a>,
    found: Vec<(String, usize)>,
    entries: usize,
}

impl Walk<'_> {
    fn value(&mut self, path: &str, value: Value, depth: usize) -> Result<(), Problem> {
        let pickle = self.pickle;
        if depth > MAX_DEPTH {
            return Err(format!("its dictionaries are nested more than {MAX_DEPTH} deep"));
        }
        match value {
            Value::Tensor(tensor) => self.found.push((path.to_owned(), tensor)),
            Value::Dict(at) => {
                for (key, value) in &pickle.dicts[at] {
                    match key {
                        Value::Text(key) => self.entry(path, key, *value, depth)?,
                        Value::Int(key) => self.entry(path, &key.to_string(), *value, depth)?,
                        _ => {}
                    }
                }
            }
            Value::List(at) => {
                for (index, value) in pickle.lists[at].iter().enumerate() {
                    self.entry(path, &index.to_string(), *value, depth)?;
                }
            }
            Value::Instance(at) => self.attributes(path, pickle.instances[at].attributes, depth)?,
            _ => {}
        }
        if self.found.len() > MAX_TENSORS { Err(TOO_LARGE.to_owned()) } else { Ok(()) }
    }

    /// Walks the attributes of an instance: of a PyTorch module, its tensors and parts, otherwise all.
    fn attributes(&mut self, path: &str, attributes: Option<Value>, depth: usize) -> Result<(), Problem> {
        let Some(Value::Dict(at)) = attributes else { return Ok(()) };
        let entries = &self.pickle.dicts[at];
        let is_part = |key: &Value| matches!(key, Value::Text(key) if MODULE.contains(key));
        if !entries.iter().any(|(key, _)| is_part(key)) {
            return self.value(path, Value::Dict(at), depth + 1);
        }
        for (_, part) in entries.iter().filter(|(key, _)| is_part(key)) {
            self.value(path, *part, depth + 1)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &str, key: &str, value: Value, depth: usize) -> Result<(), Problem> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(TOO_LARGE.to_owned());
        }
        // Other values have no tensors, and their names do not matter.
        if !matches!(value, Value::Tensor(_) | Value::Dict(_) | Value::List(_) | Value::Instance(_)) {
            return Ok(());
        }
        let length = path.len() + 1 + key.len();
        if length > MAX_NAME {
            return Err(format!("it has a name of {length} bytes; no network has such long names"));
        }
        let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        self.value(&path, value, depth + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the names of the tensors in a pickle.
    fn names(pickle: &[u8]) -> Result<Vec<String>, Problem> {
        let mut objects = Pickle::default();
        let (root, rest) = objects.load(pickle)?;
        assert_eq!(rest, b"rest");
        let mut names: Vec<String> = named(&objects, root)?.into_iter().map(|(name, _)| name).collect();
        names.sort();
        Ok(names)
    }

    /// A tensor of one value in storage `0`.
    const TENSOR: &[u8] = b"ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x01tQK\0K\x01\x85K\x01\x85\x89}tR";

    #[test]
    fn dictionaries_lists_and_modules_give_the_names() {
        let parameter = [b"ctorch._utils\n_rebuild_parameter\n(", TENSOR, b"\x88}tR"].concat();
        let module = |tables: &[u8]| [b"c__main__\nNet\n)\x81}(", tables, b"ub"].concat();
        let inner = module(&[b"U\x0b_parameters}U\x06weight", &parameter[..], b"s"].concat());
        let outer = [b"U\x08trainingK\x01U\x08_modulesccollections\nOrderedDict\n)RU\x01f", &inner[..], b"s"]
            .concat();
        let pickle =
            [b"\x80\x02}(U\x03net", &module(&outer)[..], b"U\x04list]", TENSOR, b"aU\x05epochK\x07u.rest"]
                .concat();
        assert_eq!(names(&pickle).unwrap(), ["list.0", "net.f.weight"]);
    }

    #[test]
    fn malformed_pickles_are_errors() {
        for pickle in
            [&b"\x80\x02"[..], b".", b"(.", b"a.", b"}K\x01s.", b"h\0.", b"\x80\x02\xff.", b"K\x01(0."]
        {
            assert!(Pickle::default().load(pickle).is_err(), "{pickle:?}");
        }
    }
}
