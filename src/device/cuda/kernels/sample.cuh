// Token sampling: the next token of each row, or its most likely ones.
#pragma once

// Returns the first piece in which the cumulative weight exceeds the target. Runs in the first thread.
__device__ __forceinline__ unsigned next_piece(unsigned piece, unsigned pieces, double target, double& cumulative,
                                               const Scratch& scratch) {
    while (piece < pieces && cumulative + scratch.weights[piece] <= target) cumulative += scratch.weights[piece++];
    return piece;
}

// Draws a token at a temperature above 0 with a random number in [0, 1). All threads compute weights, and the first one
// walks over them; only its result is valid.
__device__ __forceinline__ unsigned draw_token(const TokenScores& scores, float temperature, double draw,
                                           Scratch& scratch) {
    const Distribution distribution = scratch.distribution;
    const Range ranges[2] = {distribution.ranges[0], distribution.ranges[1]};
    const float scale = 1.0f / temperature, max[2] = {distribution.max, distribution.max};
    const unsigned pieces = min(pieces_of(ranges[0]) + pieces_of(ranges[1]), MAX_PIECES);
    weigh_pieces(scores, ranges, max, scale, scratch);
    double target = 0.0, cumulative = 0.0;
    if (threadIdx.x == 0) {
        for (unsigned piece = 0; piece < pieces; ++piece) target += scratch.weights[piece];
        target *= draw;
        scratch.token = NONE;
        scratch.piece = next_piece(0, pieces, target, cumulative, scratch);
    }
    __syncthreads();
    while (scratch.token == NONE && scratch.piece < pieces) {
        const unsigned piece = scratch.piece;
        const Range tokens = piece_of(ranges, piece);
        for (unsigned token = tokens.first + threadIdx.x; token < tokens.end; token += SAMPLING_THREADS) {
            // The smallest weight is above 0, but a suppressed token must not be drawn.
            const float score = score_of(scores, token), weight = weight_of(score, distribution.max, scale);
            scratch.powers[token - tokens.first] = score == -INFINITY ? 0.0f : weight;
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            for (unsigned token = tokens.first; token < tokens.end && scratch.token == NONE; ++token) {
                cumulative += scratch.powers[token - tokens.first];
                if (cumulative > target) scratch.token = token;
            }
            scratch.piece = next_piece(piece + 1, pieces, target, cumulative, scratch);
        }
        __syncthreads();
    }
    return scratch.token == NONE ? distribution.best : scratch.token;
}

// Updates a row and its state after a token. The row becomes idle at the end of text, when it has no tokens left, or when
// no token could be sampled.
__device__ __forceinline__ void advance(Row& row, SamplerState& state, const TokenRules& rules, unsigned token, bool failed) {
    row.token = token;
    row.position += 1;
    state.step += 1;
    state.sampled += 1;
    state.second_last = state.last;
    state.last = token;
    if (rules.has_timestamps && token >= rules.first_timestamp) state.last_timestamp = token;
    if (state.remaining > 0) state.remaining -= 1;
    if (failed || token == rules.eot || state.remaining == 0) row.sequence = NONE;
}

// Samples the next token of each active row from its scores [rows, n_vocab] under its rules, to tokens[row, step] and
// log_probs[row, step] (of `steps` columns each), and advances the row and its state. If no token is allowed or the
// scores are NaN, the token is the end of text and its log-probability NaN. A row with a temperature above 0 uses
// draws[row, step], a random number in [0, 1).
//
// Lower bound: each score and mask in once from memory and once from the L2 cache (5 bytes per token and pass), about 25
// operations per token; a row with a temperature reads them a third time. Grid: rows. Block: 1024. `n_vocab` is at most
// 200000.
__device__ __forceinline__ void sample(const float* logits, int n_vocab, Row* rows, SamplerState* states,
                                       const TokenRules* all_rules, const unsigned char* masks, const double* draws,
                                       unsigned* tokens, float* log_probs, int steps, Scratch& scratch) {
    const Count r = blockIdx.x;
    Row row = rows[r];
    SamplerState state = states[r];
    if (row.sequence == NONE || state.step >= unsigned(steps)) return;
    const TokenRules rules = all_rules[state.rules];
    const TokenScores scores = scores_of(logits, masks, n_vocab, rules, state);
    const Count output = r * steps + state.step;
    compute_distribution(scores, rules, state, n_vocab, scratch);
    unsigned token = scratch.distribution.best;
    if (state.temperature > 0.0f) token = draw_token(scores, state.temperature, draws[output], scratch);
    if (threadIdx.x != 0) return;
    const float log_prob = log_prob_of(scores, scratch.distribution, token);
    const bool failed = isnan(log_prob);
    if (failed) token = rules.eot;
    tokens[output] = token;
    log_probs[output] = log_prob;
    advance(row, state, rules, token, failed);
    rows[r] = row;
    states[r] = state;
}

// Ranks the `count` most likely tokens of each active row, the most likely first and the lowest token first among equals,
// to tokens[row, count] and log_probs[row, count]. If fewer are allowed, the rest is NONE with minus infinity.
//
// Lower bound: each score and mask in once. The kernel reads them again, from the L2 cache, for each token that it finds. Grid: rows. Block: 1024.
__device__ __forceinline__ void top_tokens(const float* logits, int n_vocab, const Row* rows, const SamplerState* states,
                                    const TokenRules* all_rules, const unsigned char* masks, unsigned* tokens,
                                    float* log_probs, int count, Scratch& scratch) {
    const Count r = blockIdx.x;
    if (rows[r].sequence == NONE) return;
    const SamplerState state = states[r];
    const TokenRules rules = all_rules[state.rules];
    const TokenScores scores = scores_of(logits, masks, n_vocab, rules, state);
    compute_distribution(scores, rules, state, n_vocab, scratch);
    const Distribution distribution = scratch.distribution;
    const Peak none = {-INFINITY, NONE};
    Peak peak = {INFINITY, 0};
    for (int i = 0; i < count; ++i) {
        Peak next = peak_after<false>(scores, distribution.ranges[0], peak, none);
        next = peak_after<false>(scores, distribution.ranges[1], peak, next);
        peak = block_peak(next, scratch);
        if (threadIdx.x == 0) {
            tokens[r * count + i] = peak.token;
            log_probs[r * count + i] = peak.token == NONE ? -INFINITY : log_prob_of(scores, distribution, peak.token);
        }
    }
}

extern "C" __global__ void __launch_bounds__(SAMPLING_THREADS)
    sample_f32(const float* logits, int n_vocab, Row* rows, SamplerState* states, const TokenRules* rules,
               const unsigned char* masks, const double* draws, unsigned* tokens, float* log_probs, int steps) {
    SHARED(Scratch, scratch, 1);
    sample(logits, n_vocab, rows, states, rules, masks, draws, tokens, log_probs, steps, scratch[0]);
}
EXPORT(sample_f32, SAMPLING_THREADS, SAMPLING_THREADS)

extern "C" __global__ void __launch_bounds__(SAMPLING_THREADS)
    top_tokens_f32(const float* logits, int n_vocab, const Row* rows, const SamplerState* states, const TokenRules* rules,
            const unsigned char* masks, unsigned* tokens, float* log_probs, int count) {
    SHARED(Scratch, scratch, 1);
    top_tokens(logits, n_vocab, rows, states, rules, masks, tokens, log_probs, count, scratch[0]);
}
EXPORT(top_tokens_f32, SAMPLING_THREADS, SAMPLING_THREADS)
