// The distribution over the tokens that may come next, with the operations of `decode/rules.rs` and `decode/sampling.rs`
// in the same order, so that the same scores yield the same sums to the last bit.
//
// A block of 1024 threads processes one row of scores. Sums are over pieces of 1024 tokens: 16 lanes, each in order, then
// the lanes in order, all in single precision; then the pieces in order in double precision.
#pragma once

constexpr int SAMPLING_THREADS = 1024, SAMPLING_WARPS = SAMPLING_THREADS / 32;
constexpr unsigned LANES = 16, PIECE = 64 * LANES;
// Pieces that the block sums at a time, and the largest number of pieces.
constexpr unsigned PIECES_AT_ONCE = SAMPLING_THREADS / LANES, MAX_PIECES = 256;

struct Range {
    unsigned first, end;
};

__device__ __forceinline__ unsigned pieces_of(Range range) { return (range.end - range.first + PIECE - 1) / PIECE; }

// The largest score of a range and the first token that has it; NONE if no token has one above minus infinity.
struct Peak {
    float max;
    unsigned token;
};

__device__ __forceinline__ Peak higher(Peak a, Peak b) {
    return b.max > a.max || (b.max == a.max && b.token < a.token) ? b : a;
}

// The allowed tokens in up to two ranges, the most likely one, and the sum of exp(score - max).
struct Distribution {
    Range ranges[2];
    float max;
    unsigned best;
    double sum;
};

struct Scratch {
    Peak peaks[SAMPLING_WARPS];
    float lanes[PIECES_AT_ONCE][LANES];
    float weights[MAX_PIECES];
    float powers[PIECE];
    Distribution distribution;
    unsigned piece, token;
};

// One row of scores, and the filter of its rules.
struct TokenScores {
    const float* logits;
    const unsigned char* masks;
    // The mask bits that suppress a token now, and a token that is always suppressed.
    unsigned suppressing, suppressed;
};

// Returns the score of `token + offset`. With a constant offset, several scores need only one address.
__device__ __forceinline__ float score_at(const TokenScores& scores, unsigned token, unsigned offset) {
    const unsigned mask = (scores.masks + token)[offset];
    const float logit = (scores.logits + token)[offset];
    const bool is_suppressed = ((mask & scores.suppressing) != 0) | (token + offset == scores.suppressed);
    return is_suppressed ? -INFINITY : logit;
}

__device__ __forceinline__ float score_of(const TokenScores& scores, unsigned token) {
    return score_at(scores, token, 0);
}

__device__ __forceinline__ TokenScores scores_of(const float* logits, const unsigned char* masks, int n_vocab,
                                             const TokenRules& rules, const SamplerState& state) {
    TokenScores scores;
    scores.logits = logits + Count(blockIdx.x) * n_vocab;
    scores.masks = masks + Count(rules.mask_row) * n_vocab;
    scores.suppressing = state.sampled == 0 ? 3 : 1;
    scores.suppressed = rules.has_timestamps ? rules.no_timestamps : NONE;
    return scores;
}

// Applies the timestamp rules: the first range is the allowed text, the second one the allowed timestamps.
__device__ __forceinline__ void find_ranges(const TokenRules& rules, const SamplerState& state, unsigned n_vocab,
                                            Range (&ranges)[2]) {
    const unsigned end = min(rules.vocab_end, n_vocab), begin = min(rules.first_timestamp, end);
    if (!rules.has_timestamps) {
        ranges[0] = {0, end};
        ranges[1] = {end, end};
        return;
    }
    const bool last_is_timestamp = state.sampled >= 1 && state.last >= rules.first_timestamp;
    const bool pair_is_open = last_is_timestamp && state.sampled >= 2 && state.second_last < rules.first_timestamp;
    unsigned text_begin = 0, timestamps_begin = begin, timestamps_end = end;
    if (pair_is_open) {
        // The last segment was closed, so that the next one opens or the window ends.
        text_begin = min(rules.eot, begin);
    } else if (last_is_timestamp) {
        timestamps_end = begin;
    }
    if (state.sampled >= 1 && state.last_timestamp != NONE) {
        // Timestamps increase; only a closing one may be repeated, to open the next segment.
        timestamps_begin = min(state.last_timestamp + (pair_is_open ? 0 : 1), end);
    }
    if (state.sampled == 0) {
        text_begin = begin;
        if (rules.max_initial_timestamp != NONE) timestamps_end = min(end, rules.max_initial_timestamp + 1);
    }
    ranges[0] = {text_begin, begin};
    ranges[1] = {min(timestamps_begin, timestamps_end), timestamps_end};
}

// Returns `e` to the power of a number that is not above 0, with the same bits as on the host.
__device__ __forceinline__ float exp_of(float x) {
    const float ROUND = 12582912.0f;
    x = x < -87.0f ? -87.0f : x;
    const float rounded = __fadd_rn(__fmul_rn(x, LOG2_E), ROUND), power = __fsub_rn(rounded, ROUND);
    const float rest = __fsub_rn(__fsub_rn(x, __fmul_rn(power, 0.6933594f)), __fmul_rn(power, -2.1219444e-4f));
    const float coefficients[7] = {1.0f / 720.0f, 1.0f / 120.0f, 1.0f / 24.0f, 1.0f / 6.0f, 0.5f, 1.0f, 1.0f};
    float series = 1.0f / 5040.0f;
    UNROLL
    for (int i = 0; i < 7; ++i) series = __fadd_rn(__fmul_rn(series, rest), coefficients[i]);
    const unsigned exponent = __float_as_uint(rounded) - __float_as_uint(ROUND) + 127;
    return __fmul_rn(series, __uint_as_float(exponent << 23));
}

// Returns the weight of a score relative to the largest one. NaN is propagated.
__device__ __forceinline__ float weight_of(float score, float max, float scale) {
    return exp_of(__fmul_rn(__fsub_rn(score, max), scale));
}

// Returns the weight where all scores are minus infinity: zero, or NaN.
__device__ __forceinline__ float zero_or_nan(float score) { return isnan(score) ? score : 0.0f; }

// Returns the highest peak of all threads, to all of them.
__device__ __forceinline__ Peak block_peak(Peak peak, Scratch& scratch) {
    UNROLL
    for (int other = 16; other > 0; other /= 2) {
        Peak theirs;
        theirs.max = __shfl_xor_sync(ALL_LANES, peak.max, other);
        theirs.token = __shfl_xor_sync(ALL_LANES, peak.token, other);
        peak = higher(peak, theirs);
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0) scratch.peaks[threadIdx.x / 32] = peak;
    __syncthreads();
    peak = scratch.peaks[0];
    for (int warp = 1; warp < SAMPLING_WARPS; ++warp) peak = higher(peak, scratch.peaks[warp]);
    return peak;
}

// Returns the peak of a range, or `peak` if that is higher. Unless ALL, considers only tokens that rank after `after`:
// with a lower score, or with the same one and a higher index. Has no branches, so that a thread's loads overlap.
template <bool ALL>
__device__ __forceinline__ Peak peak_after(const TokenScores& scores, Range range, Peak after, Peak peak) {
    constexpr int AT_ONCE = 8;
    for (unsigned first = range.first + threadIdx.x; first < range.end; first += AT_ONCE * SAMPLING_THREADS) {
        float score[AT_ONCE];
        UNROLL
        for (int i = 0; i < AT_ONCE; ++i) {
            const bool inside = first + i * SAMPLING_THREADS < range.end;
            score[i] = inside ? score_at(scores, first, i * SAMPLING_THREADS) : -INFINITY;
        }
        UNROLL
        for (int i = 0; i < AT_ONCE; ++i) {
            const unsigned token = first + i * SAMPLING_THREADS;
            const bool ranks_after = (score[i] < after.max) | ((score[i] == after.max) & (token > after.token));
            const bool higher = (ALL | ranks_after) & (score[i] > peak.max);
            peak.max = higher ? score[i] : peak.max;
            peak.token = higher ? token : peak.token;
        }
    }
    return peak;
}

__device__ __forceinline__ Peak peak_of(const TokenScores& scores, Range range, Scratch& scratch) {
    const Peak none = {-INFINITY, NONE};
    return block_peak(peak_after<true>(scores, range, none, none), scratch);
}

// Sums the weights of one lane of a piece, in order.
__device__ __forceinline__ float lane_weight(const TokenScores& scores, unsigned first, unsigned groups, float max,
                                             float scale) {
    constexpr unsigned AT_ONCE = 8;
    float sum = 0.0f;
    unsigned group = 0;
    if (max == -INFINITY) {
        for (; group < groups; ++group) sum += zero_or_nan(score_of(scores, first + group * LANES));
        return sum;
    }
    for (; group + AT_ONCE <= groups; group += AT_ONCE) {
        float score[AT_ONCE];
        UNROLL
        for (unsigned i = 0; i < AT_ONCE; ++i) score[i] = score_at(scores, first + group * LANES, i * LANES);
        UNROLL
        for (unsigned i = 0; i < AT_ONCE; ++i) sum = __fadd_rn(sum, weight_of(score[i], max, scale));
    }
    for (; group < groups; ++group) {
        sum = __fadd_rn(sum, weight_of(score_of(scores, first + group * LANES), max, scale));
    }
    return sum;
}

__device__ __forceinline__ Range piece_of(const Range (&ranges)[2], unsigned piece) {
    const unsigned before = pieces_of(ranges[0]);
    const Range range = piece < before ? ranges[0] : ranges[1];
    const unsigned first = range.first + (piece < before ? piece : piece - before) * PIECE;
    return {first, min(first + PIECE, range.end)};
}

// Computes the weight of each piece of two ranges, relative to the largest score of its range.
__device__ __forceinline__ void weigh_pieces(const TokenScores& scores, const Range (&ranges)[2], const float (&max)[2],
                                      float scale, Scratch& scratch) {
    const unsigned before = pieces_of(ranges[0]), pieces = min(before + pieces_of(ranges[1]), MAX_PIECES);
    const unsigned lane = threadIdx.x % LANES, slot = threadIdx.x / LANES;
    for (unsigned first = 0; first < pieces; first += PIECES_AT_ONCE) {
        const unsigned piece = first + slot;
        const Range tokens = piece_of(ranges, piece);
        const float largest = piece < before ? max[0] : max[1];
        const unsigned count = piece < pieces ? tokens.end - tokens.first : 0;
        scratch.lanes[slot][lane] = lane_weight(scores, tokens.first + lane, count / LANES, largest, scale);
        __syncthreads();
        if (lane == 0 && piece < pieces) {
            float sum = 0.0f, rest = 0.0f;
            for (unsigned i = 0; i < LANES; ++i) sum = __fadd_rn(sum, scratch.lanes[slot][i]);
            for (unsigned token = tokens.end - count % LANES; token < tokens.end; ++token) {
                const float score = score_of(scores, token);
                rest = __fadd_rn(rest, largest == -INFINITY ? zero_or_nan(score) : weight_of(score, largest, scale));
            }
            scratch.weights[piece] = __fadd_rn(sum, rest);
        }
        __syncthreads();
    }
}

// Restricts the distribution to timestamps if all of them together are more likely than any single text token. Runs in the
// first thread.
__device__ __forceinline__ void apply_timestamp_mass(const Range (&ranges)[2], const Peak (&peaks)[2], Scratch& scratch) {
    double sums[2] = {0.0, 0.0};
    const unsigned before = pieces_of(ranges[0]), pieces = before + pieces_of(ranges[1]);
    for (unsigned piece = 0; piece < before && piece < MAX_PIECES; ++piece) sums[0] += scratch.weights[piece];
    for (unsigned piece = before; piece < pieces && piece < MAX_PIECES; ++piece) sums[1] += scratch.weights[piece];
    Distribution& distribution = scratch.distribution;
    if (peaks[1].max + float(log(sums[1])) > peaks[0].max) {
        distribution = {{ranges[1], {0, 0}}, peaks[1].max, peaks[1].token, sums[1]};
        return;
    }
    const float max = fmaxf(peaks[0].max, peaks[1].max);
    double sum = 0.0;
    UNROLL
    for (int i = 0; i < 2; ++i) {
        if (sums[i] != 0.0) sum += sums[i] * double(float(exp(double(peaks[i].max - max))));
    }
    const bool is_timestamp = peaks[1].max > peaks[0].max;
    distribution = {{ranges[0], ranges[1]}, max, is_timestamp ? peaks[1].token : peaks[0].token, sum};
}

// Computes the distribution of a row, to the scratch memory of the block.
__device__ __forceinline__ void compute_distribution(const TokenScores& scores, const TokenRules& rules, const SamplerState& state,
                                           unsigned n_vocab, Scratch& scratch) {
    Range ranges[2];
    find_ranges(rules, state, n_vocab, ranges);
    const Peak peaks[2] = {peak_of(scores, ranges[0], scratch), peak_of(scores, ranges[1], scratch)};
    const float max[2] = {peaks[0].max, peaks[1].max};
    weigh_pieces(scores, ranges, max, 1.0f, scratch);
    if (threadIdx.x == 0) apply_timestamp_mass(ranges, peaks, scratch);
    __syncthreads();
}

// Returns the log-probability of a token, which is NaN if no token is allowed or the scores are NaN.
__device__ __forceinline__ float log_prob_of(const TokenScores& scores, const Distribution& distribution,
                                             unsigned token) {
    if (token == NONE) return NAN;
    return score_of(scores, token) - distribution.max - float(log(distribution.sum));
}
