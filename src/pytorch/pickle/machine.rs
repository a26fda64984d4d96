//! The stack machine that a pickle is a program for; the codes are those of Python's pickletools.py.

use super::objects::{Instance, MALFORMED, Pickle, Problem, TOO_LARGE, Value};

/// The largest number of instructions. The checkpoint of a network and its optimiser has some 10 000.
const MAX_INSTRUCTIONS: usize = 1 << 19;
/// A pickle's instruction, or an argument, is missing.
const TRUNCATED: &str = "its names and shapes are truncated";
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
    pub(in crate::pytorch) fn load(&mut self, bytes: &'a [u8]) -> Result<(Value<'a>, &'a [u8]), Problem> {
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

    pub(super) fn dict(&mut self, items: Vec<(Value<'a>, Value<'a>)>) {
        self.stack.push(Value::Dict(self.dicts.len()));
        self.dicts.push(items);
    }

    pub(super) fn instance(&mut self) {
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

    pub(super) fn pop(&mut self) -> Result<Value<'a>, Problem> {
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
}

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
