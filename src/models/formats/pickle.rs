//! Reads a pickle as data. Nothing is imported, called or built: a call stays a value with the name of its function.
//!
//! Values refer to each other by index, so that a hostile file can make neither deep recursion nor a cycle. candle's reader
//! allocates from lengths that the file claims, and nests its values.

use std::ops::Range;

use super::reader::{ByteReader, Parsed};

/// The largest pickle read. That of the largest published model has less than 1 MB.
const MAX_BYTES: usize = 16 << 20;

/// A value, small enough to be copied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    Int(i64),
    Node(usize),
    /// A value whose content does not matter here.
    Other,
}

/// A value that refers to others.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Text(Range<usize>),
    /// The module and the name of a class or function.
    Global(Range<usize>, Range<usize>),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// What a persistent id stands for: a storage of PyTorch.
    Persistent(Value),
    /// A function and its arguments.
    Call(Value, Value),
}

/// A parsed pickle.
#[derive(Debug)]
pub struct Pickle<'a> {
    bytes: &'a [u8],
    nodes: Vec<Node>,
    pub root: Value,
}

impl<'a> Pickle<'a> {
    pub fn read(file: &'a str, bytes: &'a [u8]) -> Parsed<Self> {
        let reader = ByteReader::new(file, bytes);
        if bytes.len() > MAX_BYTES {
            return Err(reader.damaged(format!("its index has {} bytes, more than {MAX_BYTES}", bytes.len())));
        }
        let mut machine =
            Machine { reader, nodes: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: Vec::new() };
        while machine.step()? {}
        let root = machine.pop()?;
        Ok(Self { bytes, nodes: machine.nodes, root })
    }

    fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(index) => self.nodes.get(index),
            Value::Int(_) | Value::Other => None,
        }
    }

    fn slice(&self, range: &Range<usize>) -> Option<&'a str> {
        std::str::from_utf8(self.bytes.get(range.clone())?).ok()
    }

    pub fn text(&self, value: Value) -> Option<&'a str> {
        match self.node(value)? {
            Node::Text(range) => self.slice(range),
            _ => None,
        }
    }

    /// Returns a number that is not negative.
    pub fn size(&self, value: Value) -> Option<usize> {
        match value {
            Value::Int(number) => usize::try_from(number).ok(),
            Value::Node(_) | Value::Other => None,
        }
    }

    pub fn sequence(&self, value: Value) -> Option<&[Value]> {
        match self.node(value)? {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }

    pub fn entries(&self, value: Value) -> Option<&[(Value, Value)]> {
        match self.node(value)? {
            Node::Dict(entries) => Some(entries),
            _ => None,
        }
    }

    pub fn entry(&self, value: Value, key: &str) -> Option<Value> {
        let entries = self.entries(value)?;
        entries.iter().find(|(name, _)| self.text(*name) == Some(key)).map(|(_, value)| *value)
    }

    pub fn persistent(&self, value: Value) -> Option<Value> {
        match self.node(value)? {
            Node::Persistent(id) => Some(*id),
            _ => None,
        }
    }

    /// Returns the module and the name of a class or function.
    pub fn global(&self, value: Value) -> Option<(&'a str, &'a str)> {
        match self.node(value)? {
            Node::Global(module, name) => Some((self.slice(module)?, self.slice(name)?)),
            _ => None,
        }
    }

    /// Returns the name of the called function, and its arguments.
    pub fn call(&self, value: Value) -> Option<(&'a str, &[Value])> {
        match self.node(value)? {
            Node::Call(function, arguments) => Some((self.global(*function)?.1, self.sequence(*arguments)?)),
            _ => None,
        }
    }
}

/// The stack machine that a pickle is a program of.
struct Machine<'a> {
    reader: ByteReader<'a>,
    nodes: Vec<Node>,
    stack: Vec<Value>,
    /// Lengths of the stack at its marks.
    marks: Vec<usize>,
    memo: Vec<Value>,
}

impl Machine<'_> {
    /// Executes an instruction; returns false after the last.
    fn step(&mut self) -> Parsed<bool> {
        let code = self.reader.u8()?;
        match code {
            b'.' => return Ok(false),
            0x80 => self.reader.skip(1)?,
            0x95 => self.reader.skip(8)?,
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.pop()?;
                self.stack.extend([top, top]);
            }
            b'q' | b'r' | 0x94 => self.remember(code)?,
            b'h' | b'j' => self.recall(code)?,
            b'c' | 0x93 => self.push_global(code)?,
            b'J' | b'K' | b'M' | 0x8A => self.push_number(code)?,
            b'N' | 0x88 | 0x89 => self.stack.push(Value::Other),
            b'G' => {
                self.reader.skip(8)?;
                self.stack.push(Value::Other);
            }
            b'X' | b'T' | b'B' | b'U' | b'C' | 0x8C | 0x8D | 0x8E => self.push_text(code)?,
            b'}' => self.push(Node::Dict(Vec::new())),
            b']' | 0x8F => self.push(Node::List(Vec::new())),
            b')' => self.push(Node::Tuple(Vec::new())),
            b't' | 0x85..=0x87 => self.push_tuple(code)?,
            b'l' => {
                let items = self.pop_mark()?;
                self.push(Node::List(items));
            }
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Node::Dict(pairs(&items)));
            }
            b'a' | b'e' | 0x90 | b's' | b'u' => self.add_items(code)?,
            b'Q' => {
                let id = self.pop()?;
                self.push(Node::Persistent(id));
            }
            b'R' | 0x81 => self.call()?,
            // The state of an object: only names of hooks and versions in what PyTorch writes.
            b'b' => drop(self.pop()?),
            _ => {
                return Err(self
                    .reader
                    .damaged(format!("its index has the unknown instruction {code:#04x}")));
            }
        }
        Ok(true)
    }

    fn push(&mut self, node: Node) {
        self.stack.push(Value::Node(self.nodes.len()));
        self.nodes.push(node);
    }

    fn pop(&mut self) -> Parsed<Value> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len() > floor {
            true => Ok(self.stack.pop().unwrap_or(Value::Other)),
            false => Err(self.invalid()),
        }
    }

    fn pop_mark(&mut self) -> Parsed<Vec<Value>> {
        let mark = self.marks.pop().ok_or_else(|| self.invalid())?;
        Ok(self.stack.split_off(mark))
    }

    fn invalid(&self) -> crate::error::ModelProblem {
        self.reader.damaged("its index is not a valid pickle")
    }

    fn remember(&mut self, code: u8) -> Parsed<()> {
        let index = match code {
            b'q' => self.reader.u8()?.into(),
            b'r' => self.reader.size()?,
            _ => self.memo.len(),
        };
        let top = self.stack.last().copied().ok_or_else(|| self.invalid())?;
        // Writers number their entries one by one.
        match index.cmp(&self.memo.len()) {
            std::cmp::Ordering::Less => self.memo[index] = top,
            std::cmp::Ordering::Equal => self.memo.push(top),
            std::cmp::Ordering::Greater => return Err(self.invalid()),
        }
        Ok(())
    }

    fn recall(&mut self, code: u8) -> Parsed<()> {
        let index = if code == b'h' { self.reader.u8()?.into() } else { self.reader.size()? };
        let value = self.memo.get(index).copied().ok_or_else(|| self.invalid())?;
        self.stack.push(value);
        Ok(())
    }

    fn push_global(&mut self, code: u8) -> Parsed<()> {
        let (module, name) = if code == b'c' {
            (self.line()?, self.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            let text = |value| match value {
                Value::Node(index) => self.nodes.get(index),
                _ => None,
            };
            match (text(module), text(name)) {
                (Some(Node::Text(module)), Some(Node::Text(name))) => (module.clone(), name.clone()),
                _ => return Err(self.invalid()),
            }
        };
        self.push(Node::Global(module, name));
        Ok(())
    }

    /// Reads up to the end of a line.
    fn line(&mut self) -> Parsed<Range<usize>> {
        let start = self.reader.at();
        while self.reader.u8()? != b'\n' {}
        Ok(start..self.reader.at() - 1)
    }

    fn push_number(&mut self, code: u8) -> Parsed<()> {
        let number = match code {
            b'J' => i64::from(self.reader.u32()?.cast_signed()),
            b'K' => self.reader.u8()?.into(),
            b'M' => self.reader.u16()?.into(),
            _ => {
                let length = self.reader.u8()?.into();
                let bytes = self.reader.take(length)?;
                let mut wide = [bytes.last().map_or(0, |last| if last & 0x80 == 0 { 0 } else { 0xFF }); 8];
                let Some(low) = wide.get_mut(..bytes.len()) else {
                    self.stack.push(Value::Other);
                    return Ok(());
                };
                low.copy_from_slice(bytes);
                i64::from_le_bytes(wide)
            }
        };
        self.stack.push(Value::Int(number));
        Ok(())
    }

    fn push_text(&mut self, code: u8) -> Parsed<()> {
        let length = match code {
            b'U' | b'C' | 0x8C => self.reader.u8()?.into(),
            b'X' | b'T' | b'B' => self.reader.size()?,
            _ => self.reader.size64()?,
        };
        let start = self.reader.at();
        self.reader.skip(length)?;
        self.push(Node::Text(start..self.reader.at()));
        Ok(())
    }

    fn push_tuple(&mut self, code: u8) -> Parsed<()> {
        let items = if code == b't' {
            self.pop_mark()?
        } else {
            let mut items = (0..=code - 0x85).map(|_| self.pop()).collect::<Parsed<Vec<_>>>()?;
            items.reverse();
            items
        };
        self.push(Node::Tuple(items));
        Ok(())
    }

    /// Adds to the list or dictionary below: one item, one pair, or all since the last mark.
    fn add_items(&mut self, code: u8) -> Parsed<()> {
        let added = match code {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_mark()?,
        };
        let target = match self.stack.last() {
            Some(Value::Node(index)) => self.nodes.get_mut(*index),
            _ => None,
        };
        match target {
            Some(Node::List(items)) if matches!(code, b'a' | b'e' | 0x90) => items.extend(added),
            Some(Node::Dict(entries)) if matches!(code, b's' | b'u') => entries.extend(pairs(&added)),
            // Items of an object that stays a call.
            Some(Node::Call(..)) => {}
            _ => return Err(self.invalid()),
        }
        Ok(())
    }

    /// Replaces a function and its arguments by the call. The two dictionaries of a checkpoint are ordinary ones here.
    fn call(&mut self) -> Parsed<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let is_dictionary = match function {
            Value::Node(index) => match self.nodes.get(index) {
                Some(Node::Global(_, name)) => self.reader.is_text(name, "OrderedDict"),
                _ => false,
            },
            _ => false,
        };
        self.push(if is_dictionary { Node::Dict(Vec::new()) } else { Node::Call(function, arguments) });
        Ok(())
    }
}

fn pairs(items: &[Value]) -> Vec<(Value, Value)> {
    items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_dictionaries_calls_and_shared_values() {
        let bytes = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01K\x07X\x01\x00\x00\x00bctorch\nf\nh\x01\x85Ru.";
        let pickle = Pickle::read("file", bytes).unwrap();
        assert_eq!(pickle.entry(pickle.root, "a"), Some(Value::Int(7)));
        let call = pickle.call(pickle.entry(pickle.root, "b").unwrap()).unwrap();
        assert_eq!((call.0, pickle.text(call.1[0])), ("f", Some("a")));
        assert_eq!(pickle.entry(pickle.root, "c"), None);
        let negative = Pickle::read("file", b"J\xFF\xFF\xFF\xFF.").unwrap();
        assert_eq!((negative.root, negative.size(negative.root)), (Value::Int(-1), None));
        let long = Pickle::read("file", b"\x8A\x02\x00\x01.").unwrap();
        assert_eq!(long.root, Value::Int(256));
    }

    #[test]
    fn nesting_costs_no_stack() {
        let nested = [b")".as_slice(), &vec![0x85; 1 << 20], b"."].concat();
        assert!(Pickle::read("file", &nested).is_ok());
        // A list that contains itself.
        let cyclic = Pickle::read("file", b"]q\x00h\x00a.").unwrap();
        assert_eq!(cyclic.sequence(cyclic.root), Some([cyclic.root].as_slice()));
    }

    #[test]
    fn rejects_what_is_no_program() {
        let wrong: [&[u8]; 8] = [
            b"",
            b".",
            b"h\x00.",
            b"K\x01a.",
            b"(.",
            b"X\xFF\xFF\xFF\xFF.",
            b"r\xFF\xFF\xFF\xFFK\x01.",
            b"\xFE.",
        ];
        for bytes in wrong {
            assert!(Pickle::read("file", bytes).is_err(), "{bytes:?}");
        }
        assert!(Pickle::read("file", &vec![b'N'; MAX_BYTES + 1]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(prop::sample::select(
            b"\x80\x02.(012qrh\x94jc\x93JKM\x8ANG\x88XU\x8C}])t\x85\x86\x87\x8FldaesuQR\x81b\x00\x01a\n".to_vec()
        ), 0..64)) {
            let _ = Pickle::read("file", &bytes);
        }
    }
}
