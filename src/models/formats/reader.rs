//! Reads numbers and strings from the bytes of a file, never past their end.

use std::ops::Range;

use crate::error::ModelProblem;

pub type Parsed<T> = Result<T, ModelProblem>;

/// A position in a file. Nothing is allocated from a length before the bytes that it promises are known to exist.
#[derive(Debug, Clone)]
pub struct ByteReader<'a> {
    file: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> ByteReader<'a> {
    pub fn new(file: &'a str, bytes: &'a [u8]) -> Self {
        Self { file, bytes, at: 0 }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub fn seek(&mut self, at: usize) -> Parsed<()> {
        self.at = at;
        if at > self.bytes.len() { Err(self.ends_early()) } else { Ok(()) }
    }

    pub fn take(&mut self, count: usize) -> Parsed<&'a [u8]> {
        let end = self.at.checked_add(count).ok_or_else(|| self.ends_early())?;
        let taken = self.bytes.get(self.at..end).ok_or_else(|| self.ends_early())?;
        self.at = end;
        Ok(taken)
    }

    pub fn skip(&mut self, count: usize) -> Parsed<()> {
        self.take(count).map(drop)
    }

    fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub fn u8(&mut self) -> Parsed<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Parsed<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Parsed<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Parsed<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads a length or a dimension of 32 bits.
    pub fn size(&mut self) -> Parsed<usize> {
        self.u32().map(|size| size as usize)
    }

    /// Reads a length or a dimension of 64 bits.
    pub fn size64(&mut self) -> Parsed<usize> {
        let size = self.u64()?;
        usize::try_from(size).map_err(|_| self.damaged(format!("it claims a size of {size} bytes")))
    }

    pub fn text(&mut self, length: usize) -> Parsed<&'a str> {
        let at = self.at;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.damaged(format!("at byte {at}, a name is not UTF-8")))
    }

    /// Whether these bytes of the file are this text.
    pub fn is_text(&self, range: &Range<usize>, text: &str) -> bool {
        self.bytes.get(range.clone()) == Some(text.as_bytes())
    }

    pub fn damaged(&self, why: impl Into<String>) -> ModelProblem {
        ModelProblem::Damaged { file: self.file.to_owned(), why: why.into() }
    }

    fn ends_early(&self) -> ModelProblem {
        self.damaged(format!("it has only {} bytes, and more are announced", self.bytes.len()))
    }
}
