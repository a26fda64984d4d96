//! Interprets the pickles of `torch.save`. Nothing in them is run: a class or function is only a name.
//!
//! Every object lives once in a table, and a copy is an index. So the memory is bounded by the length of the pickle,
//! however often it copies an object, and dropping a deeply nested object does not overflow the stack.

use std::collections::HashMap;

/// The largest number of instructions. The checkpoint of a network and its optimiser has some 10 000.
const MAX_INSTRUCTIONS: usize = 1 << 19;
/// The largest number of entries that dictionaries take over from lists of pairs.
const MAX_COPIED: usize = 1 << 18;
/// The largest number of dimensions of a tensor.
const MAX_DIMENSIONS: usize = 8;

/// An object in a pickle. Its strings are part of the pickle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// `None`, a boolean, a float, an integer of more than 64 bits, or anything else that state dicts do not use.
    Other,
    Int(i64),
    Text(&'a str),
    /// Module and name of a class or function.
    Global(&'a str, &'a str),
    /// A tuple, list or set: an index in [`Pickle::lists`].
    List(usize),
    /// An index in [`Pickle::dicts`].
    Dict(usize),
    /// An instance of a class: an index in [`Pickle::instances`].
    Instance(usize),
    /// An index in [`Pickle::storages`].
    Storage(usize),
    /// An index in [`Pickle::tensors`].
    Tensor(usize),
}

/// The numbers behind one or several tensors.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Storage<'a> {
    pub(super) key: &'a str,
    pub(super) kind: Kind,
    /// The number of values.
    pub(super) len: u64,
}

/// A tensor: a part of a storage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    /// An index in [`Pickle::storages`].
    pub(super) storage: usize,
    /// Values before the first one.
    pub(super) offset: u64,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// The type of a storage's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    F64,
    F32,
    F16,
    Bf16,
    /// Not a floating-point number: bytes of a value.
    Other(u64),
}

impl Kind {
    /// Returns the bytes of a value.
    pub(super) fn size(self) -> u64 {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Other(size) => size,
        }
    }

    /// Returns the kind of a storage class such as `FloatStorage`, or of a type such as `float32`.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "DoubleStorage" | "float64" => Self::F64,
            "FloatStorage" | "float32" => Self::F32,
            "HalfStorage" | "float16" => Self::F16,
            "BFloat16Storage" | "bfloat16" => Self::Bf16,
            "ComplexDoubleStorage" | "complex128" => Self::Other(16),
            "LongStorage" | "ComplexFloatStorage" | "int64" | "uint64" | "complex64" => Self::Other(8),
            "IntStorage" | "QInt32Storage" | "int32" | "uint32" => Self::Other(4),
            "ShortStorage" | "int16" | "uint16" => Self::Other(2),
            "CharStorage" | "ByteStorage" | "BoolStorage" | "QInt8Storage" | "QUInt8Storage"
            | "UntypedStorage" | "int8" | "uint8" | "bool" => Self::Other(1),
            name if name.starts_with("float8") => Self::Other(1),
            _ => return None,
        })
    }
}

/// An instance of a class that is not known here.
#[derive(Clone, Debug, Default)]
pub(super) struct Instance<'a> {
    /// Its attributes, as far as the pickle has them.
    pub(super) attributes: Option<Value<'a>>,
}

/// The objects of a pickle.
#[derive(Debug, Default)]
pub(super) struct Pickle<'a> {
    pub(super) lists: Vec<Vec<Value<'a>>>,
    pub(super) dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    pub(super) instances: Vec<Instance<'a>>,
    pub(super) storages: Vec<Storage<'a>>,
    pub(super) tensors: Vec<Tensor>,
    stack: Vec<Value<'a>>,
    /// The lengths of the stack at its marks.
    marks: Vec<usize>,
    memo: HashMap<u64, Value<'a>>,
    /// Entries that dictionaries have taken over from lists of pairs.
    copied: usize,
}

/// What is wrong with a pickle.
pub(super) type Problem = String;

/// A pickle's instruction, or an argument, is missing.
const TRUNCATED: &str = "its names and shapes are truncated";
/// The stack of the pickle machine has too few objects, or objects of another type.
const MALFORMED: &str = "its names and shapes are not a valid pickle";

/// A limit is exceeded.
pub(super) const TOO_LARGE: &str = "its names and shapes are larger than those of a network";

/// The rest of a pickle's bytes.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], Problem> {
        let length = usize::try_from(length).map_err(|_| TRUNCATED)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Returns the little-endian number in the next `width` bytes.
    fn number(&mut self, width: u64) -> Result<u64, Problem> {
        Ok(self.take(width)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Returns the bytes whose number is in the next `width` bytes.
    fn prefixed(&mut self, width: u64) -> Result<&'a [u8], Problem> {
        let length = self.number(width)?;
        self.take(length)
    }

    /// Returns the rest of the line, without its line feed.
    fn line(&mut self) -> Result<&'a [u8], Problem> {
        let length = self.0.iter().position(|byte| *byte == b'\n').ok_or(TRUNCATED)?;
        let line = self.take(length as u64)?;
        self.take(1)?;
        Ok(line)
    }
}

/// Returns bytes as text; names that are not UTF-8 cannot be those of a network.
fn text(bytes: &[u8]) -> Value<'_> {
    std::str::from_utf8(bytes).map_or(Value::Other, Value::Text)
}

fn name(bytes: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(bytes).map_err(|_| MALFORMED.to_owned())
}

impl<'a> Pickle<'a> {
    /// Interprets the first pickle in `bytes`, and returns its object and the bytes after it.
    ///
    /// # Errors
    /// The problem, if it is truncated or malformed, or has an instruction that `torch.save` does not write.
    pub(super) fn load(&mut self, bytes: &'a [u8]) -> Result<(Value<'a>, &'a [u8]), Problem> {
        (self.stack, self.marks, self.memo) = Default::default();
        let mut input = Input(bytes);
        for _ in 0..MAX_INSTRUCTIONS {
            let code = input.take(1)?[0];
            if code == b'.' {
                let root = self.pop()?;
                return Ok((root, input.0));
            }
            self.instruction(code, &mut input)?;
        }
        Err(TOO_LARGE.to_owned())
    }

    /// Carries out one instruction; the codes are those of Python's pickletools.py.
    fn instruction(&mut self, code: u8, input: &mut Input<'a>) -> Result<(), Problem> {
        match code {
            // Protocol and frames.
            0x80 => drop(input.take(1)?),
            0x95 => drop(input.take(8)?),
            // Numbers and constants.
            b'N' | 0x88 | 0x89 => self.stack.push(Value::Other),
            b'G' => self.other(input.take(8)?),
            b'F' => self.other(input.line()?),
            b'K' => self.integer(input.number(1)?),
            b'M' => self.integer(input.number(2)?),
            b'J' => {
                let number = input.number(4)? as u32;
                self.stack.push(Value::Int(i64::from(number.cast_signed())));
            }
            b'I' | b'L' => {
                let line =
                    name(input.line()?)?.trim_end_matches('L').parse().map_or(Value::Other, Value::Int);
                self.stack.push(line);
            }
            0x8a => self.long(input.prefixed(1)?),
            0x8b => self.other(input.prefixed(4)?),
            // Text and bytes.
            b'X' => self.stack.push(text(input.prefixed(4)?)),
            0x8c | b'U' => self.stack.push(text(input.prefixed(1)?)),
            b'T' => self.stack.push(text(input.prefixed(4)?)),
            0x8d => self.stack.push(text(input.prefixed(8)?)),
            b'V' => self.stack.push(text(input.line()?)),
            b'S' => self.stack.push(text(unquoted(input.line()?))),
            b'C' => self.other(input.prefixed(1)?),
            b'B' => self.other(input.prefixed(4)?),
            0x8e | 0x96 => self.other(input.prefixed(8)?),
            0x97 | 0x98 => return Err(MALFORMED.to_owned()), // buffers outside the pickle
            // Lists, tuples and sets.
            b']' | b')' | 0x8f => self.list(vec![]),
            b'l' | b't' | 0x91 => {
                let items = self.pop_to_mark()?;
                self.list(items);
            }
            0x85..=0x87 => {
                let start = self.below(usize::from(code - 0x84))?;
                let items = self.stack.split_off(start);
                self.list(items);
            }
            b'a' => {
                let item = self.pop()?;
                self.extend_list(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.extend_list(items)?;
            }
            // Dictionaries.
            b'}' => self.dict(vec![]),
            b'd' => {
                let items = self.pop_to_mark()?;
                self.dict(pairs(&items));
            }
            b's' => {
                let start = self.below(2)?;
                let items = self.stack.split_off(start);
                self.extend_dict(&items)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.extend_dict(&items)?;
            }
            // The stack and the memo.
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => self.stack.push(self.top()?),
            b'q' => self.memoize(input.number(1)?)?,
            b'r' => self.memoize(input.number(4)?)?,
            b'p' => self.memoize(index(input.line()?)?)?,
            0x94 => self.memoize(self.memo.len() as u64)?,
            b'h' => self.recall(input.number(1)?)?,
            b'j' => self.recall(input.number(4)?)?,
            b'g' => self.recall(index(input.line()?)?)?,
            // Classes, functions and their results.
            b'c' => {
                let global = Value::Global(name(input.line()?)?, name(input.line()?)?);
                self.stack.push(global);
            }
            0x93 => {
                let (class, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(class)) = (module, class) else {
                    return Err(MALFORMED.to_owned());
                };
                self.stack.push(Value::Global(module, class));
            }
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                let result = self.call(callable, arguments)?;
                self.stack.push(result);
            }
            0x92 => {
                let (_, arguments, callable) = (self.pop()?, self.pop()?, self.pop()?);
                let result = self.call(callable, arguments)?;
                self.stack.push(result);
            }
            b'i' => {
                let (_, _) = (input.line()?, input.line()?);
                self.pop_to_mark()?;
                self.instance();
            }
            b'o' => {
                self.pop_to_mark()?;
                self.instance();
            }
            b'b' => {
                let state = self.pop()?;
                if let Value::Instance(at) = self.top()? {
                    self.instances[at].attributes = Some(state);
                }
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.stack.push(storage);
            }
            b'P' => self.other(input.line()?), // PyTorch's identifiers are tuples, so this is not a storage
            other => {
                return Err(format!(
                    "its pickle has the instruction {other:#04x}, which torch.save does not write"
                ));
            }
        }
        Ok(())
    }

    fn other(&mut self, _argument: &[u8]) {
        self.stack.push(Value::Other);
    }

    fn integer(&mut self, number: u64) {
        self.stack.push(i64::try_from(number).map_or(Value::Other, Value::Int));
    }

    /// Pushes an integer of any length, in two's complement.
    fn long(&mut self, bytes: &[u8]) {
        let value = match bytes.last() {
            None => Value::Int(0),
            Some(last) if bytes.len() <= 8 => {
                let start = if last & 0x80 != 0 { -1 } else { 0 };
                Value::Int(bytes.iter().rev().fold(start, |number: i64, byte| number << 8 | i64::from(*byte)))
            }
            Some(_) => Value::Other,
        };
        self.stack.push(value);
    }

    fn list(&mut self, items: Vec<Value<'a>>) {
        self.stack.push(Value::List(self.lists.len()));
        self.lists.push(items);
    }

    fn dict(&mut self, items: Vec<(Value<'a>, Value<'a>)>) {
        self.stack.push(Value::Dict(self.dicts.len()));
        self.dicts.push(items);
    }

    fn instance(&mut self) {
        self.stack.push(Value::Instance(self.instances.len()));
        self.instances.push(Instance::default());
    }

    fn extend_list(&mut self, items: Vec<Value<'a>>) -> Result<(), Problem> {
        match self.top()? {
            Value::List(at) => self.lists[at].extend(items),
            // A list of a class of its own.
            Value::Instance(_) => {}
            _ => return Err(MALFORMED.to_owned()),
        }
        Ok(())
    }

    fn extend_dict(&mut self, items: &[Value<'a>]) -> Result<(), Problem> {
        match self.top()? {
            Value::Dict(at) => self.dicts[at].extend(pairs(items)),
            // A dictionary of a class of its own: its entries stand in for attributes.
            Value::Instance(at) => {
                let dict = match self.instances[at].attributes {
                    Some(Value::Dict(dict)) => dict,
                    _ => {
                        self.dicts.push(vec![]);
                        self.instances[at].attributes = Some(Value::Dict(self.dicts.len() - 1));
                        self.dicts.len() - 1
                    }
                };
                self.dicts[dict].extend(pairs(items));
            }
            _ => return Err(MALFORMED.to_owned()),
        }
        Ok(())
    }

    fn memoize(&mut self, index: u64) -> Result<(), Problem> {
        self.memo.insert(index, self.top()?);
        Ok(())
    }

    fn recall(&mut self, index: u64) -> Result<(), Problem> {
        self.stack.push(*self.memo.get(&index).ok_or(MALFORMED)?);
        Ok(())
    }

    fn top(&self) -> Result<Value<'a>, Problem> {
        Ok(*self.stack.get(self.below(1)?).ok_or(MALFORMED)?)
    }

    fn pop(&mut self) -> Result<Value<'a>, Problem> {
        self.below(1)?;
        self.stack.pop().ok_or_else(|| MALFORMED.to_owned())
    }

    /// Returns the index of the object `count` places below the top, above the last mark.
    fn below(&self, count: usize) -> Result<usize, Problem> {
        let start = self.stack.len().checked_sub(count).ok_or(MALFORMED)?;
        if self.marks.last().is_some_and(|mark| *mark > start) {
            Err(MALFORMED.to_owned())
        } else {
            Ok(start)
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'a>>, Problem> {
        let mark = self.marks.pop().ok_or(MALFORMED)?;
        Ok(self.stack.split_off(mark))
    }

    /// Returns the result of a call, as far as state dicts need it.
    fn call(&mut self, callable: Value<'a>, arguments: Value<'a>) -> Result<Value<'a>, Problem> {
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
    fn storage(&mut self, id: Value<'a>) -> Result<Value<'a>, Problem> {
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

/// The largest number of a call's arguments that matter.
const MAX_ARGUMENTS: usize = 16;

/// Pairs keys and values; a key without a value is dropped.
fn pairs<'a>(items: &[Value<'a>]) -> Vec<(Value<'a>, Value<'a>)> {
    items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

/// Returns the index in the memo that a line holds.
fn index(line: &[u8]) -> Result<u64, Problem> {
    name(line)?.trim().parse().map_err(|_| MALFORMED.to_owned())
}

/// Removes the quotes around a string.
fn unquoted(line: &[u8]) -> &[u8] {
    match line {
        [b'\'' | b'"', text @ .., b'\'' | b'"'] => text,
        line => line,
    }
}
