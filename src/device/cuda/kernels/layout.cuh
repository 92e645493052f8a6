// Structs that the host writes and the kernels read: rows, tiles of prompts, rules for tokens, sampler states.
#pragma once

// Stands for "none" in a field that may have no value.
constexpr unsigned NONE = 0xffffffffu;

// One row of a decoder step: a token, its position, and its cache slots. A `sequence` of NONE marks an idle row.
struct alignas(16) Row {
    unsigned token, position, sequence, window;
};

// Up to ATTENTION_ROWS rows of one prompt: rows `first..first + count` of the queries against one slot of a cache.
// Row `i` of the tile attends to `attended` entries (at least one), or to `attended + i + 1` if `causal`.
struct Tile {
    unsigned first, count, slot, attended, causal;
};

// The sampling rules that rows share (see `decode/rules.rs`).
struct alignas(16) TokenRules {
    // End of text, first timestamp, the token for "no timestamps", one past the last timestamp.
    unsigned eot, first_timestamp, no_timestamps, vocab_end;
    // The last timestamp that may open a window, or NONE.
    unsigned max_initial_timestamp;
    // Whether the timestamp rules apply.
    unsigned has_timestamps;
    // The row of the masks. Bit 0 of a token suppresses it always, bit 1 only as the first one.
    unsigned mask_row;
    unsigned padding;
};

// The state of one row's sampling.
struct alignas(16) SamplerState {
    // Index of the row's rules.
    unsigned rules;
    // The number of tokens sampled so far in the window, the last one and the one before it.
    unsigned sampled, last, second_last;
    // The last timestamp among them, or NONE.
    unsigned last_timestamp;
    // The number of tokens that may still be sampled, and the output column of the next one.
    unsigned remaining, step;
    // 0 selects the most likely token.
    float temperature;
};

static_assert(sizeof(Row) == 16 && sizeof(Tile) == 20, "the host writes these structs");
static_assert(sizeof(TokenRules) == 32 && sizeof(SamplerState) == 32, "the host writes these structs");
