//! Embeddings → speakers: the closest voices are merged until those that are left are too different.

use std::ops::RangeInclusive;

use super::embedding::normalize;

/// Similarity (the mean cosine between their members) from which on two groups are one speaker.
const SAME_SPEAKER: f32 = 0.4;
/// Cosine between the centres of two speakers above which they are one, once every voice is with its closest centre.
const SAME_CENTRE: f32 = 0.5;
/// Seconds of speech that a speaker has at least; in a short recording, the share of all speech.
const MIN_SECONDS: f32 = 3.0;
const MIN_SHARE: f32 = 0.1;
/// Seconds of speech beyond which a voice counts no more.
const MAX_WEIGHT: f32 = 5.0;
/// How often every voice goes to its closest centre.
const ROUNDS: usize = 3;
/// Voices that are compared each with each. More are first merged piece by piece, to at most half of them.
const MAX_GROUPS: usize = 2_000;
const PIECE: usize = 500;
/// Similarity above which voices of a piece are merged first.
const SAME_PIECE: f32 = 0.6;

/// The voice of a stretch of speech.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalVoice {
    /// Of length 1.
    pub embedding: Vec<f32>,
    /// Seconds of speech that it was computed from.
    pub seconds: f32,
    /// Whether nobody else speaks in it.
    pub is_clear: bool,
}

/// Voices that belong together.
#[derive(Debug, Clone)]
struct Group {
    /// The weighted mean of the embeddings, so that the product of two is the mean similarity of their members.
    mean: Vec<f32>,
    weight: f32,
}

/// Returns the centres of the speakers, of length 1, in no particular order; none without voices.
pub fn centres(voices: &[&LocalVoice], count: &RangeInclusive<usize>) -> Vec<Vec<f32>> {
    let weight = |voice: &LocalVoice| voice.seconds.min(MAX_WEIGHT);
    let group = |voice: &&LocalVoice| Group { mean: voice.embedding.clone(), weight: weight(voice) };
    let groups = shorten(voices.iter().map(group).collect());
    let all: f32 = groups.iter().map(|group| group.weight).sum();
    let least = MIN_SECONDS.min(MIN_SHARE * all);
    let mut groups = merge(groups, SAME_SPEAKER, count, least);
    groups.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    let large = groups.iter().take_while(|group| group.weight >= least).count();
    let kept = large.clamp((*count.start()).min(groups.len()), *count.end());
    groups.truncate(kept);
    let mut centres: Vec<Vec<f32>> = groups.into_iter().map(|group| normalized(group.mean)).collect();
    for _ in 0..ROUNDS {
        move_centres(&mut centres, voices);
        if centres.len() > *count.start() {
            join_closest(&mut centres);
        }
    }
    centres
}

/// Returns the similarity of a voice and a centre.
pub fn similarity(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Returns the index of the closest centre.
pub fn closest(embedding: &[f32], centres: &[Vec<f32>]) -> usize {
    let similarities = centres.iter().map(|centre| similarity(embedding, centre));
    let best = similarities.enumerate().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
    best.map_or(0, |(index, _)| index)
}

/// Puts each centre in the middle of the voices that are closest to it.
fn move_centres(centres: &mut [Vec<f32>], voices: &[&LocalVoice]) {
    let mut sums: Vec<Vec<f32>> = centres.iter().map(|centre| vec![0.0; centre.len()]).collect();
    for voice in voices {
        let weight = voice.seconds.min(MAX_WEIGHT);
        let sum = sums[closest(&voice.embedding, centres)].iter_mut();
        sum.zip(&voice.embedding).for_each(|(sum, value)| *sum += weight * value);
    }
    for (centre, sum) in centres.iter_mut().zip(sums) {
        // A centre that is closest to no voice stays where it is.
        if sum.iter().any(|value| *value != 0.0) {
            *centre = normalized(sum);
        }
    }
}

/// Drops the smaller one of the closest two centres if they are one speaker.
fn join_closest(centres: &mut Vec<Vec<f32>>) {
    let pairs = (0..centres.len()).flat_map(|a| (a + 1..centres.len()).map(move |b| (a, b)));
    let of_pair = |(a, b): (usize, usize)| (similarity(&centres[a], &centres[b]), b);
    let closest = pairs.map(of_pair).max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, dropped)) = closest.filter(|(similarity, _)| *similarity > SAME_CENTRE) {
        centres.remove(dropped);
    }
}

fn normalized(mut vector: Vec<f32>) -> Vec<f32> {
    normalize(&mut vector);
    vector
}

/// Merges neighbours in time until few enough groups are left to compare each with each.
fn shorten(mut groups: Vec<Group>) -> Vec<Group> {
    while groups.len() > MAX_GROUPS {
        let pieces = groups
            .chunks(PIECE)
            .map(|piece| merge(piece.to_vec(), SAME_PIECE, &(1..=(piece.len() / 2).max(1)), 0.0));
        groups = pieces.flatten().collect();
    }
    groups
}

/// Merges the two most similar groups again and again while they are similar enough, or for as long as there are more or
/// fewer large groups than wanted.
fn merge(groups: Vec<Group>, threshold: f32, count: &RangeInclusive<usize>, least: f32) -> Vec<Group> {
    let all = groups.len();
    // What every number of merges would lead to.
    let mut pairs = Pairs::new(groups.clone());
    let (mut large, mut similar) = (vec![pairs.large(least)], 0);
    while let Some((a, b, similarity)) = pairs.most_similar() {
        // The similarity never rises from merge to merge.
        similar += usize::from(similarity >= threshold);
        pairs.merge(a, b);
        large.push(pairs.large(least));
    }
    let merges = if large[similar] > *count.end() {
        (similar..large.len()).find(|merges| large[*merges] <= *count.end()).unwrap_or(similar)
    } else if large[similar] < *count.start() {
        let enough = (0..similar).rfind(|merges| large[*merges] >= *count.start());
        enough.unwrap_or(similar.min(all.saturating_sub(*count.start())))
    } else {
        similar
    };
    let mut pairs = Pairs::new(groups);
    for _ in 0..merges {
        if let Some((a, b, _)) = pairs.most_similar() {
            pairs.merge(a, b);
        }
    }
    pairs.groups.into_iter().filter(|group| group.weight > 0.0).collect()
}

/// Groups with the similarity of each to each. A group without weight has been merged into another.
struct Pairs {
    groups: Vec<Group>,
    similarities: Vec<f32>,
    /// The most similar later group of each.
    best: Vec<Option<usize>>,
}

impl Pairs {
    fn new(groups: Vec<Group>) -> Self {
        let count = groups.len();
        let mut similarities = vec![0.0; count * count];
        for a in 0..count {
            for b in a + 1..count {
                let similarity = similarity(&groups[a].mean, &groups[b].mean);
                similarities[a * count + b] = similarity;
                similarities[b * count + a] = similarity;
            }
        }
        let mut pairs = Pairs { groups, similarities, best: vec![None; count] };
        (0..count).for_each(|index| pairs.find_best(index));
        pairs
    }

    fn similarity(&self, a: usize, b: usize) -> f32 {
        self.similarities[a * self.groups.len() + b]
    }

    fn is_alive(&self, index: usize) -> bool {
        self.groups[index].weight > 0.0
    }

    fn large(&self, seconds: f32) -> usize {
        self.groups.iter().filter(|group| group.weight >= seconds && group.weight > 0.0).count()
    }

    fn find_best(&mut self, index: usize) {
        let later = (index + 1..self.groups.len()).filter(|other| self.is_alive(*other));
        let by_similarity = |a: &usize, b: &usize| {
            self.similarity(index, *a).total_cmp(&self.similarity(index, *b)).then(b.cmp(a))
        };
        self.best[index] = later.max_by(by_similarity);
    }

    fn most_similar(&self) -> Option<(usize, usize, f32)> {
        let alive = (0..self.groups.len()).filter(|index| self.is_alive(*index));
        let pairs = alive.filter_map(|a| self.best[a].map(|b| (a, b, self.similarity(a, b))));
        pairs.max_by(|x, y| x.2.total_cmp(&y.2).then(y.0.cmp(&x.0)))
    }

    /// Merges the second of two groups into the first.
    fn merge(&mut self, a: usize, b: usize) {
        let count = self.groups.len();
        let (weight_a, weight_b) = (self.groups[a].weight, self.groups[b].weight);
        let share = weight_b / (weight_a + weight_b);
        for other in 0..count {
            let similarity = self.similarity(a, other) * (1.0 - share) + self.similarity(b, other) * share;
            self.similarities[a * count + other] = similarity;
            self.similarities[other * count + a] = similarity;
        }
        let merged = std::mem::replace(&mut self.groups[b], Group { mean: Vec::new(), weight: 0.0 });
        let group = &mut self.groups[a];
        group.weight = weight_a + weight_b;
        group.mean.iter_mut().zip(merged.mean).for_each(|(mean, other)| *mean += (other - *mean) * share);
        for index in (0..count).filter(|index| self.groups[*index].weight > 0.0).collect::<Vec<_>>() {
            match self.best[index] {
                Some(best) if index != a && best != a && best != b => {
                    let (new, old) = (self.similarity(index, a), self.similarity(index, best));
                    if index < a && (new > old || (new == old && a < best)) {
                        self.best[index] = Some(a);
                    }
                }
                _ => self.find_best(index),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Voices around `speakers` directions, with some noise.
    fn voices(speakers: usize, each: usize, noise: f32) -> Vec<LocalVoice> {
        let mut state = 7_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let mut voices = Vec::new();
        for nth in 0..speakers * each {
            let mut embedding: Vec<f32> = (0..64).map(|_| noise * next()).collect();
            embedding[nth % speakers] += 1.0;
            voices.push(LocalVoice { embedding: normalized(embedding), seconds: 2.0, is_clear: true });
        }
        voices
    }

    fn count_of(voices: &[LocalVoice], count: RangeInclusive<usize>) -> usize {
        centres(&voices.iter().collect::<Vec<_>>(), &count).len()
    }

    #[test]
    fn finds_the_number_of_speakers() {
        assert_eq!(count_of(&[], 1..=20), 0);
        for speakers in 1..8 {
            assert_eq!(count_of(&voices(speakers, 6, 0.1), 1..=20), speakers);
        }
    }

    #[test]
    fn the_number_can_be_given_or_bounded() {
        let voices = voices(4, 6, 0.1);
        for (count, found) in [(2..=2, 2), (4..=4, 4), (6..=6, 6), (5..=9, 5), (1..=3, 3), (2..=6, 4)] {
            assert_eq!(count_of(&voices, count.clone()), found, "{count:?}");
        }
        assert_eq!(count_of(&voices[..3], 5..=5), 3);
    }

    #[test]
    fn short_voices_are_no_speakers() {
        let mut voices = voices(3, 6, 0.1);
        voices.retain({
            let mut seen = 0;
            move |voice| {
                let is_third = closest(&voice.embedding, &unit_vectors(3)) == 2;
                seen += usize::from(is_third);
                !is_third || seen < 2
            }
        });
        assert_eq!(count_of(&voices, 1..=20), 2);
    }

    fn unit_vectors(count: usize) -> Vec<Vec<f32>> {
        (0..count).map(|nth| (0..64).map(|i| f32::from(u8::from(i == nth))).collect()).collect()
    }

    #[test]
    fn many_voices_are_merged_piece_by_piece() {
        let voices = voices(5, 1_000, 0.12);
        assert_eq!(count_of(&voices, 1..=20), 5);
    }
}
