//! Merges of a byte-pair encoding from the ranks of its tokens, which is all that tiktoken's vocabularies hold.

use std::collections::HashMap;

/// Longer tokens than any vocabulary has are left without a merge, because finding it takes time with their square.
const MAX_TOKEN_BYTES: usize = 256;

/// Returns the two parts that each token is merged from, in the order of the ranks: what is left of it when all merges of
/// lower rank are done. Single bytes, and tokens that no merge leads to, have none.
pub fn merges(tokens: &[Vec<u8>]) -> Vec<(&[u8], &[u8])> {
    let ranks: HashMap<&[u8], usize> = tokens.iter().map(Vec::as_slice).zip(0..).collect();
    tokens.iter().enumerate().filter_map(|(rank, token)| parts(token, rank, &ranks)).collect()
}

fn parts<'t>(token: &'t [u8], rank: usize, ranks: &HashMap<&[u8], usize>) -> Option<(&'t [u8], &'t [u8])> {
    if !(2..=MAX_TOKEN_BYTES).contains(&token.len()) {
        return None;
    }
    // Where the parts begin, and where the last ends.
    let mut starts: Vec<usize> = (0..=token.len()).collect();
    while starts.len() > 3 {
        let merged = starts.windows(3).enumerate().filter_map(|(at, ends)| {
            let found = *ranks.get(&token[ends[0]..ends[2]])?;
            (found < rank).then_some((found, at))
        });
        let (_, at) = merged.min()?;
        starts.remove(at + 1);
    }
    let (first, second) = token.split_at(starts[1]);
    (ranks.contains_key(first) && ranks.contains_key(second)).then_some((first, second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_merge_of_each_token() {
        let tokens = ["a", "b", "c", "ab", "abc", "xy", "bc", "abcbc"].map(|token| token.as_bytes().to_vec());
        let found = merges(&tokens);
        let expected: [(&[u8], &[u8]); 4] = [(b"a", b"b"), (b"ab", b"c"), (b"b", b"c"), (b"abc", b"bc")];
        assert_eq!(found, expected);
    }
}
