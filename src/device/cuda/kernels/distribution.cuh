// The distribution over the tokens that may come next, as `decode/rules.rs` and `decode/sampling.rs` have it: the same
// operations in the same order, so that the same scores give the same sums to the last bit.
//
// A block of 1024 threads has one row of scores. Sums go over pieces of 1024 tokens: 16 lanes, each in order, then the
// lanes in order, all in single precision; then the pieces in order in double precision.
#pragma once

constexpr int CHOOSE_THREADS = 1024, CHOOSE_WARPS = CHOOSE_THREADS / 32;
constexpr unsigned LANES = 16, PIECE = 64 * LANES;
// Pieces that the block sums at a time, and at most in all.
constexpr unsigned PIECES_AT_ONCE = CHOOSE_THREADS / LANES, MOST_PIECES = 256;

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

// What may be chosen: up to two ranges, the likeliest token, and the sum of exp(score - max).
struct Distribution {
    Range ranges[2];
    float max;
    unsigned likeliest;
    double sum;
};

struct Scratch {
    Peak peaks[CHOOSE_WARPS];
    float lanes[PIECES_AT_ONCE][LANES];
    float weights[MOST_PIECES];
    float powers[PIECE];
    Distribution distribution;
    unsigned piece, token;
};

// One row of scores behind the filter of its rules.
struct TokenScores {
    const float* logits;
    const unsigned char* masks;
    unsigned forbidding, banned;
};

// The score of the token that many places behind another one: of several, the compiler needs one address.
__device__ __forceinline__ float score_behind(const TokenScores& scores, unsigned token, unsigned places) {
    const unsigned mask = (scores.masks + token)[places];
    const float logit = (scores.logits + token)[places];
    const bool forbidden = ((mask & scores.forbidding) != 0) | (token + places == scores.banned);
    return forbidden ? -INFINITY : logit;
}

__device__ __forceinline__ float score_of(const TokenScores& scores, unsigned token) {
    return score_behind(scores, token, 0);
}

__device__ __forceinline__ TokenScores scores_of(const float* logits, const unsigned char* masks, int n_vocab,
                                             const RuleSet& rules, const Choice& choice) {
    TokenScores scores;
    scores.logits = logits + Count(blockIdx.x) * n_vocab;
    scores.masks = masks + Count(rules.mask) * n_vocab;
    scores.forbidding = choice.sampled == 0 ? 3 : 1;
    scores.banned = rules.timestamps ? rules.no_timestamps : NONE;
    return scores;
}

// What the rules of timestamps leave: text first, timestamps second.
__device__ __forceinline__ void find_ranges(const RuleSet& rules, const Choice& choice, unsigned n_vocab,
                                            Range (&ranges)[2]) {
    const unsigned end = min(rules.end, n_vocab), begin = min(rules.begin, end);
    if (!rules.timestamps) {
        ranges[0] = {0, end};
        ranges[1] = {end, end};
        return;
    }
    const bool last_is_stamp = choice.sampled >= 1 && choice.last >= rules.begin;
    const bool pair_is_open = last_is_stamp && choice.sampled >= 2 && choice.before < rules.begin;
    unsigned text_from = 0, stamps_from = begin, stamps_to = end;
    if (pair_is_open) {
        // A segment was closed: the next one opens, or the window ends.
        text_from = min(rules.eot, begin);
    } else if (last_is_stamp) {
        stamps_to = begin;
    }
    if (choice.sampled >= 1 && choice.last_stamp != NONE) {
        // Time goes on, and only a closing timestamp may come again, to open the next segment.
        stamps_from = min(choice.last_stamp + (pair_is_open ? 0 : 1), end);
    }
    if (choice.sampled == 0) {
        text_from = begin;
        if (rules.last_initial != NONE) stamps_to = min(end, rules.last_initial + 1);
    }
    ranges[0] = {text_from, begin};
    ranges[1] = {min(stamps_from, stamps_to), stamps_to};
}

// `e` to the power of a number that is not above 0, exactly as the host has it.
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

// How much a score weighs beside the largest one; what is no number is carried on.
__device__ __forceinline__ float weight_of(float score, float max, float scale) {
    return exp_of(__fmul_rn(__fsub_rn(score, max), scale));
}

// The same where all are minus infinity: nothing, and still what is no number.
__device__ __forceinline__ float weight_of_none(float score) { return isnan(score) ? score : 0.0f; }

// The highest of what each thread has found, in all threads.
__device__ __forceinline__ Peak highest(Peak peak, Scratch& scratch) {
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
    for (int warp = 1; warp < CHOOSE_WARPS; ++warp) peak = higher(peak, scratch.peaks[warp]);
    return peak;
}

// The peak of a range (or where it is higher, the other one); unless ALL, among what comes behind `after`: lower, or as
// high and later. Without branches, which would stand between the tokens of a thread.
template <bool ALL>
__device__ __forceinline__ Peak peak_behind(const TokenScores& scores, Range range, Peak after, Peak peak) {
    constexpr int AT_ONCE = 8;
    for (unsigned first = range.first + threadIdx.x; first < range.end; first += AT_ONCE * CHOOSE_THREADS) {
        float score[AT_ONCE];
        UNROLL
        for (int i = 0; i < AT_ONCE; ++i) {
            const bool inside = first + i * CHOOSE_THREADS < range.end;
            score[i] = inside ? score_behind(scores, first, i * CHOOSE_THREADS) : -INFINITY;
        }
        UNROLL
        for (int i = 0; i < AT_ONCE; ++i) {
            const unsigned token = first + i * CHOOSE_THREADS;
            const bool behind = (score[i] < after.max) | ((score[i] == after.max) & (token > after.token));
            const bool higher = (ALL | behind) & (score[i] > peak.max);
            peak.max = higher ? score[i] : peak.max;
            peak.token = higher ? token : peak.token;
        }
    }
    return peak;
}

__device__ __forceinline__ Peak peak_of(const TokenScores& scores, Range range, Scratch& scratch) {
    const Peak none = {-INFINITY, NONE};
    return highest(peak_behind<true>(scores, range, none, none), scratch);
}

// One lane of one piece, in order.
__device__ __forceinline__ float lane_weight(const TokenScores& scores, unsigned first, unsigned groups, float max,
                                             float scale) {
    constexpr unsigned AT_ONCE = 8;
    float sum = 0.0f;
    unsigned group = 0;
    if (max == -INFINITY) {
        for (; group < groups; ++group) sum += weight_of_none(score_of(scores, first + group * LANES));
        return sum;
    }
    for (; group + AT_ONCE <= groups; group += AT_ONCE) {
        float score[AT_ONCE];
        UNROLL
        for (unsigned i = 0; i < AT_ONCE; ++i) score[i] = score_behind(scores, first + group * LANES, i * LANES);
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

// The weight of each piece of two ranges, against the largest score of each.
__device__ __forceinline__ void weigh(const TokenScores& scores, const Range (&ranges)[2], const float (&max)[2],
                                      float scale, Scratch& scratch) {
    const unsigned before = pieces_of(ranges[0]), pieces = min(before + pieces_of(ranges[1]), MOST_PIECES);
    const unsigned lane = threadIdx.x % LANES, place = threadIdx.x / LANES;
    for (unsigned first = 0; first < pieces; first += PIECES_AT_ONCE) {
        const unsigned piece = first + place;
        const Range tokens = piece_of(ranges, piece);
        const float largest = piece < before ? max[0] : max[1];
        const unsigned count = piece < pieces ? tokens.end - tokens.first : 0;
        scratch.lanes[place][lane] = lane_weight(scores, tokens.first + lane, count / LANES, largest, scale);
        __syncthreads();
        if (lane == 0 && piece < pieces) {
            float sum = 0.0f, rest = 0.0f;
            for (unsigned i = 0; i < LANES; ++i) sum = __fadd_rn(sum, scratch.lanes[place][i]);
            for (unsigned token = tokens.end - count % LANES; token < tokens.end; ++token) {
                const float score = score_of(scores, token);
                rest = __fadd_rn(rest, largest == -INFINITY ? weight_of_none(score) : weight_of(score, largest, scale));
            }
            scratch.weights[piece] = __fadd_rn(sum, rest);
        }
        __syncthreads();
    }
}

// In the first thread: all timestamps together, if they are likelier than any single word, or all that is left.
__device__ __forceinline__ void decide(const Range (&ranges)[2], const Peak (&peaks)[2], Scratch& scratch) {
    double sums[2] = {0.0, 0.0};
    const unsigned before = pieces_of(ranges[0]), pieces = before + pieces_of(ranges[1]);
    for (unsigned piece = 0; piece < before && piece < MOST_PIECES; ++piece) sums[0] += scratch.weights[piece];
    for (unsigned piece = before; piece < pieces && piece < MOST_PIECES; ++piece) sums[1] += scratch.weights[piece];
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
    const bool stamp = peaks[1].max > peaks[0].max;
    distribution = {{ranges[0], ranges[1]}, max, stamp ? peaks[1].token : peaks[0].token, sum};
}

// The distribution of a row, in the scratch memory of the block.
__device__ __forceinline__ void distribute(const TokenScores& scores, const RuleSet& rules, const Choice& choice,
                                           unsigned n_vocab, Scratch& scratch) {
    Range ranges[2];
    find_ranges(rules, choice, n_vocab, ranges);
    const Peak peaks[2] = {peak_of(scores, ranges[0], scratch), peak_of(scores, ranges[1], scratch)};
    const float max[2] = {peaks[0].max, peaks[1].max};
    weigh(scores, ranges, max, 1.0f, scratch);
    if (threadIdx.x == 0) decide(ranges, peaks, scratch);
    __syncthreads();
}

// The log-probability of a token, which is not a number if nothing may be chosen or the scores are none.
__device__ __forceinline__ float log_prob_of(const TokenScores& scores, const Distribution& distribution,
                                             unsigned token) {
    if (token == NONE) return NAN;
    return score_of(scores, token) - distribution.max - float(log(distribution.sum));
}
