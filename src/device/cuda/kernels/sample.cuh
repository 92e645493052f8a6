// Tokens on the device: the next one of each row, or the likeliest few.
#pragma once

// In the first thread: the first piece behind which the weights that were passed exceed what is wanted.
__device__ __forceinline__ unsigned next_piece(unsigned piece, unsigned pieces, double wanted, double& passed,
                                               const Scratch& scratch) {
    while (piece < pieces && passed + scratch.weights[piece] <= wanted) passed += scratch.weights[piece++];
    return piece;
}

// Draws a token at a temperature above 0 with a number of [0, 1): all threads weigh, the first one walks. For the
// first thread only.
__device__ __forceinline__ unsigned sample(const TokenScores& scores, float temperature, double draw,
                                           Scratch& scratch) {
    const Distribution distribution = scratch.distribution;
    const Range ranges[2] = {distribution.ranges[0], distribution.ranges[1]};
    const float scale = 1.0f / temperature, max[2] = {distribution.max, distribution.max};
    const unsigned pieces = min(pieces_of(ranges[0]) + pieces_of(ranges[1]), MOST_PIECES);
    weigh(scores, ranges, max, scale, scratch);
    double wanted = 0.0, passed = 0.0;
    if (threadIdx.x == 0) {
        for (unsigned piece = 0; piece < pieces; ++piece) wanted += scratch.weights[piece];
        wanted *= draw;
        scratch.token = NONE;
        scratch.piece = next_piece(0, pieces, wanted, passed, scratch);
    }
    __syncthreads();
    while (scratch.token == NONE && scratch.piece < pieces) {
        const unsigned piece = scratch.piece;
        const Range tokens = piece_of(ranges, piece);
        for (unsigned token = tokens.first + threadIdx.x; token < tokens.end; token += CHOOSE_THREADS) {
            // The least weight is above 0, but what is forbidden must not be drawn.
            const float score = score_of(scores, token), weight = weight_of(score, distribution.max, scale);
            scratch.powers[token - tokens.first] = score == -INFINITY ? 0.0f : weight;
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            for (unsigned token = tokens.first; token < tokens.end && scratch.token == NONE; ++token) {
                passed += scratch.powers[token - tokens.first];
                if (passed > wanted) scratch.token = token;
            }
            scratch.piece = next_piece(piece + 1, pieces, wanted, passed, scratch);
        }
        __syncthreads();
    }
    return scratch.token == NONE ? distribution.likeliest : scratch.token;
}

// The row and its choice after a token; the row becomes idle at the end of text, when nothing is left to choose, or
// when nothing could be chosen.
__device__ __forceinline__ void advance(Row& row, Choice& choice, const RuleSet& rules, unsigned token, bool broken) {
    row.token = token;
    row.position += 1;
    choice.step += 1;
    choice.sampled += 1;
    choice.before = choice.last;
    choice.last = token;
    if (rules.timestamps && token >= rules.begin) choice.last_stamp = token;
    if (choice.left > 0) choice.left -= 1;
    if (broken || token == rules.eot || choice.left == 0) row.sequence = NONE;
}

// Chooses the next token of each busy row from its scores [rows, n_vocab] as the rules of its choice allow, into
// tokens[row, step] and log_probs[row, step] (of `steps` columns each), and moves the row and its choice on. Where
// nothing may be chosen, or the scores are no numbers, the token is the end of text and the log-probability NaN. A row
// above temperature 0 uses draws[row, step], a number of [0, 1).
//
// At least: each score and mask in once from memory and once more from the second cache (5 bytes per token and
// pass), about 25 operations per token; a row that samples goes over them a third time. Grid: rows. Block: 1024.
// `n_vocab` is at most 200000.
__device__ __forceinline__ void choose(const float* logits, int n_vocab, Row* rows, Choice* choices,
                                       const RuleSet* rule_sets, const unsigned char* masks, const double* draws,
                                       unsigned* tokens, float* log_probs, int steps, Scratch& scratch) {
    const Count r = blockIdx.x;
    Row row = rows[r];
    Choice choice = choices[r];
    if (row.sequence == NONE || choice.step >= unsigned(steps)) return;
    const RuleSet rules = rule_sets[choice.rules];
    const TokenScores scores = scores_of(logits, masks, n_vocab, rules, choice);
    const Count place = r * steps + choice.step;
    distribute(scores, rules, choice, n_vocab, scratch);
    unsigned token = scratch.distribution.likeliest;
    if (choice.temperature > 0.0f) token = sample(scores, choice.temperature, draws[place], scratch);
    if (threadIdx.x != 0) return;
    const float log_prob = log_prob_of(scores, scratch.distribution, token);
    const bool broken = isnan(log_prob);
    if (broken) token = rules.eot;
    tokens[place] = token;
    log_probs[place] = log_prob;
    advance(row, choice, rules, token, broken);
    rows[r] = row;
    choices[r] = choice;
}

// The `count` likeliest tokens of each busy row with their log-probabilities, the likeliest first and of equals the
// lowest: tokens[row, count], log_probs[row, count]. Where fewer may be chosen, the rest is NONE with minus infinity.
//
// At least: each score and mask in once; this goes over them once more, from the second cache, for each token that it
// finds. Grid: rows. Block: 1024.
__device__ __forceinline__ void top(const float* logits, int n_vocab, const Row* rows, const Choice* choices,
                                    const RuleSet* rule_sets, const unsigned char* masks, unsigned* tokens,
                                    float* log_probs, int count, Scratch& scratch) {
    const Count r = blockIdx.x;
    if (rows[r].sequence == NONE) return;
    const Choice choice = choices[r];
    const RuleSet rules = rule_sets[choice.rules];
    const TokenScores scores = scores_of(logits, masks, n_vocab, rules, choice);
    distribute(scores, rules, choice, n_vocab, scratch);
    const Distribution distribution = scratch.distribution;
    const Peak none = {-INFINITY, NONE};
    Peak peak = {INFINITY, 0};
    for (int i = 0; i < count; ++i) {
        Peak next = peak_behind<false>(scores, distribution.ranges[0], peak, none);
        next = peak_behind<false>(scores, distribution.ranges[1], peak, next);
        peak = highest(next, scratch);
        if (threadIdx.x == 0) {
            tokens[r * count + i] = peak.token;
            log_probs[r * count + i] = peak.token == NONE ? -INFINITY : log_prob_of(scores, distribution, peak.token);
        }
    }
}

extern "C" __global__ void __launch_bounds__(CHOOSE_THREADS)
    choose_f32(const float* logits, int n_vocab, Row* rows, Choice* choices, const RuleSet* rules,
               const unsigned char* masks, const double* draws, unsigned* tokens, float* log_probs, int steps) {
    SHARED(Scratch, scratch, 1);
    choose(logits, n_vocab, rows, choices, rules, masks, draws, tokens, log_probs, steps, scratch[0]);
}
EXPORT(choose_f32, CHOOSE_THREADS, CHOOSE_THREADS)

extern "C" __global__ void __launch_bounds__(CHOOSE_THREADS)
    top_f32(const float* logits, int n_vocab, const Row* rows, const Choice* choices, const RuleSet* rules,
            const unsigned char* masks, unsigned* tokens, float* log_probs, int count) {
    SHARED(Scratch, scratch, 1);
    top(logits, n_vocab, rows, choices, rules, masks, tokens, log_probs, count, scratch[0]);
}
EXPORT(top_f32, CHOOSE_THREADS, CHOOSE_THREADS)
