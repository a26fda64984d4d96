//! What the calls and identifiers of PyTorch in a pickle stand for: tensors, storages and dictionaries.

use super::objects::{Kind, MALFORMED, Pickle, Problem, Storage, TOO_LARGE, Tensor, Value};

/// The largest number of entries that dictionaries take over from lists of pairs.
const MAX_COPIED: usize = 1 << 18;
/// The largest number of dimensions of a tensor.
const MAX_DIMENSIONS: usize = 8;

/// The largest number of a call's arguments that matter.
const MAX_ARGUMENTS: usize = 16;

impl<'a> Pickle<'a> {
    /// Returns the result of a call, as far as state dicts need it.
    pub(super) fn call(&mut self, callable: Value<'a>, arguments: Value<'a>) -> Result<Value<'a>, Problem> {
        let Value::Global(module, function) = callable else {
            self.instance();
            return self.pop();
        };
        let items: Vec<Value> = match arguments {
            Value::List(at) => self.lists[at].iter().copied().take(MAX_ARGUMENTS).collect(),
            _ => vec![],
        };
        match (module, function) {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3") => {
                self.tensor(&items, function.ends_with("v3"))
            }
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                items.first().copied().ok_or_else(|| MALFORMED.to_owned())
            }
            ("torch._tensor", "_rebuild_from_type_v2") => match items.as_slice() {
                [function, _, arguments, ..] if matches!(function, Value::Global("torch._utils", _)) => {
                    self.call(*function, *arguments)
                }
                _ => Ok(Value::Other),
            },
            ("collections", "OrderedDict" | "defaultdict") | ("builtins" | "__builtin__", "dict") => {
                let entries = items.into_iter().find_map(|item| self.entries(item)).unwrap_or_default();
                self.copied += entries.len();
                if self.copied > MAX_COPIED {
                    return Err(TOO_LARGE.to_owned());
                }
                self.dict(entries);
                self.pop()
            }
            ("torch", "Size") | ("builtins" | "__builtin__", "set" | "frozenset" | "list" | "tuple") => {
                Ok(items.into_iter().find(|item| matches!(item, Value::List(_))).unwrap_or(Value::Other))
            }
            _ => {
                self.instance();
                self.pop()
            }
        }
    }

    /// Returns the entries of a dictionary given as a list of pairs.
    fn entries(&self, list: Value<'a>) -> Option<Vec<(Value<'a>, Value<'a>)>> {
        let Value::List(at) = list else { return None };
        let pair = |item: &Value<'a>| match item {
            Value::List(at) => match self.lists[*at].as_slice() {
                [key, value] => Some((*key, *value)),
                _ => None,
            },
            _ => None,
        };
        self.lists[at].iter().map(pair).collect()
    }

    /// Returns the tensor with the arguments of PyTorch's `_rebuild_tensor` functions.
    fn tensor(&mut self, arguments: &[Value<'a>], has_kind: bool) -> Result<Value<'a>, Problem> {
        let [Value::Storage(storage), Value::Int(offset), shape, strides, ..] = arguments else {
            return Ok(Value::Other); // for instance a tensor on the device `meta`
        };
        let mut storage = *storage;
        if has_kind && let Some(Value::Global("torch", kind)) = arguments.get(6) {
            // The storage is untyped: it counts bytes.
            let kind = Kind::named(kind).unwrap_or(Kind::Other(1));
            let bytes = self.storages[storage].len * self.storages[storage].kind.size();
            let typed = Storage { kind, len: bytes / kind.size(), ..self.storages[storage].clone() };
            storage = self.storages.len();
            self.storages.push(typed);
        }
        let (shape, strides) = (self.sizes(*shape)?, self.sizes(*strides)?);
        let offset = u64::try_from(*offset).map_err(|_| MALFORMED)?;
        if shape.len() != strides.len() {
            return Err(MALFORMED.to_owned());
        }
        self.tensors.push(Tensor { storage, offset, shape, strides });
        Ok(Value::Tensor(self.tensors.len() - 1))
    }

    fn sizes(&self, list: Value<'a>) -> Result<Vec<usize>, Problem> {
        let Value::List(at) = list else { return Err(MALFORMED.to_owned()) };
        if self.lists[at].len() > MAX_DIMENSIONS {
            return Err(format!("a tensor has {} dimensions", self.lists[at].len()));
        }
        let size = |value: &Value| match value {
            Value::Int(size) => usize::try_from(*size).map_err(|_| MALFORMED.to_owned()),
            _ => Err(MALFORMED.to_owned()),
        };
        self.lists[at].iter().map(size).collect()
    }

    /// Returns the storage of a persistent identifier: `("storage", class, key, location, length[, view])`.
    pub(super) fn storage(&mut self, id: Value<'a>) -> Result<Value<'a>, Problem> {
        let Value::List(at) = id else { return Ok(Value::Other) };
        let [
            Value::Text("storage"),
            Value::Global(_, class),
            Value::Text(key),
            _,
            Value::Int(len),
            view @ ..,
        ] = self.lists[at].as_slice()
        else {
            return Ok(Value::Other); // the source code of a module, in the old format
        };
        // A view's own key, its offset and its length, which PyTorch wrote until 2017.
        if let Some(Value::List(_)) = view.first() {
            return Err("its storages are views of others; save it again with a newer PyTorch".to_owned());
        }
        let kind =
            Kind::named(class).ok_or_else(|| format!("its tensors have the unknown type {class:.40}"))?;
        let len = u64::try_from(*len).map_err(|_| MALFORMED)?;
        self.storages.push(Storage { key, kind, len });
        Ok(Value::Storage(self.storages.len() - 1))
    }
}
