// What the host and the kernels say to one another: places in caches, tiles of prompts, rules for tokens.
#pragma once

// Stands for "none" wherever a number may be missing.
constexpr unsigned NONE = 0xffffffffu;

// One row of a decoder step: a token, and where it stands. A `sequence` of NONE marks an idle row.
struct alignas(16) Row {
    unsigned token, position, sequence, window;
};

// Up to ATTENTION_ROWS rows of one prompt: rows `first..first + count` of the queries against one slot of a cache.
// Row `i` of the tile sees `seen` entries (at least one), or `seen + i + 1` if `causal`.
struct Tile {
    unsigned first, count, slot, seen, causal;
};

// Which tokens may come next (see `decode/rules.rs`).
struct alignas(16) RuleSet {
    // End of text, first timestamp, the token for "no timestamps", one past the last timestamp.
    unsigned eot, begin, no_timestamps, end;
    // The last timestamp that may open a window, or NONE.
    unsigned last_initial;
    // Whether the rules of timestamps hold.
    unsigned timestamps;
    // Row of the masks: bit 0 of a token forbids it always, bit 1 as the first one.
    unsigned mask;
    unsigned pad;
};

// How far the choosing of one row is.
struct alignas(16) Choice {
    // Index into the rule sets.
    unsigned rules;
    // Tokens chosen so far in this window, the last one and the one before it.
    unsigned sampled, last, before;
    // The last timestamp among them, or NONE.
    unsigned last_stamp;
    // How many more may be chosen, and into which column of the results the next one goes.
    unsigned left, step;
    // 0 takes the likeliest.
    float temperature;
};

static_assert(sizeof(Row) == 16 && sizeof(Tile) == 20, "the host writes them");
static_assert(sizeof(RuleSet) == 32 && sizeof(Choice) == 32, "the host writes them");
