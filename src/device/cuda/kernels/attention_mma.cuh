// Attention of many rows on the tensor cores, for heads of 64 dimensions in 16-bit formats. Scores never leave the
// registers.
#pragma once

// Query rows and warps of a block.
constexpr int ATTENTION_ROWS = 128, ATTENTION_WARPS = 4;
constexpr int WARP_ROWS = ATTENTION_ROWS / ATTENTION_WARPS;
// Shared memory of a block in units of 16 bytes: two tiles of keys and values.
constexpr int ATTENTION_WORDS = 2048;

// The work of a block: some rows of one head against the entries of one slot. Each pointer is at the first of them.
template <typename T> struct Part {
    const T *q, *keys, *values;
    T* y;
    int q_stride, entry_stride, y_stride;
    int rows;
    // The number of entries that row 0 attends to; each row attends to `more` more than the one before.
    int attended, more;
    // Scales scores to powers of 2.
    float scale;
};

template <typename T> __device__ __forceinline__ int attended_by(const Part<T>& part, int row) {
    return part.attended + part.more * row;
}

constexpr int TILE = 64;
constexpr int TILE_WORDS = TILE * 8;

// Returns the index of a chunk of 8 numbers of a row of 64. Chunks are swizzled by the row, so that the same chunk of 8
// rows covers all banks.
__device__ __forceinline__ int swizzled(int row, int chunk) { return row * 8 + (chunk ^ (row & 7)); }

// Starts to copy ROWS rows of 64 numbers, with zeros from `end` on.
template <int ROWS, typename T>
__device__ __forceinline__ void copy_rows(uint4* to, const T* from, int stride, int first, int end) {
    UNROLL
    for (int i = 0; i < ROWS * 8 / (ATTENTION_WARPS * 32); ++i) {
        const int piece = threadIdx.x + i * ATTENTION_WARPS * 32, row = piece / 8, chunk = piece % 8;
        const bool exists = first + row < end;
        copy_async(to + swizzled(row, chunk), from + Count(exists ? first + row : 0) * stride + chunk * 8, exists);
    }
}

// The scores of 32 rows and 64 entries: for each 16 rows and 8 entries, 4 numbers in each lane.
typedef float Scores[2][8][4];

template <typename T>
__device__ __forceinline__ void score_tile(Scores& score, const unsigned (&query)[2][4][4], const uint4* keys) {
    const int lane = threadIdx.x % 32;
    UNROLL
    for (int step = 0; step < 4; ++step) {
        UNROLL
        for (int two = 0; two < 4; ++two) {
            unsigned key[4];
            const int row = two * 16 + lane % 8 + lane / 16 * 8;
            load_matrices(key, keys + swizzled(row, step * 2 + lane / 8 % 2));
            UNROLL
            for (int m = 0; m < 2; ++m) {
                multiply<T>(score[m][two * 2], query[m][step], key[0], key[1]);
                multiply<T>(score[m][two * 2 + 1], query[m][step], key[2], key[3]);
            }
        }
    }
}

template <typename T>
__device__ __forceinline__ void apply_mask(Scores& score, const Part<T>& part, int first_row, int first_entry) {
    const int lane = threadIdx.x % 32;
    UNROLL
    for (int m = 0; m < 2; ++m) {
        UNROLL
        for (int i = 0; i < 4; ++i) {
            const int row = first_row + m * 16 + lane / 4 + i / 2 * 8, entry = first_entry + lane % 4 * 2 + i % 2;
            const int end = attended_by(part, row) - entry;
            UNROLL
            for (int n = 0; n < 8; ++n) score[m][n][i] = n * 8 < end ? score[m][n][i] : -INFINITY;
        }
    }
}

// Updates the online softmax: replaces the scores by powers, and rescales the previous result where the maximum grew.
__device__ __forceinline__ void update_softmax(Scores& score, float (&max)[2][2], float (&sum)[2][2], Scores& result,
                                               float scale) {
    UNROLL
    for (int m = 0; m < 2; ++m) {
        UNROLL
        for (int half = 0; half < 2; ++half) {
            float largest = max[m][half];
            UNROLL
            for (int n = 0; n < 8; ++n) {
                largest = fmaxf(largest, fmaxf(score[m][n][half * 2], score[m][n][half * 2 + 1]));
            }
            largest = lanes_max<4>(largest);
            const float shrink = power_of_2((max[m][half] - largest) * scale), base = largest * scale;
            max[m][half] = largest;
            sum[m][half] *= shrink;
            UNROLL
            for (int n = 0; n < 8; ++n) {
                UNROLL
                for (int i = half * 2; i < half * 2 + 2; ++i) {
                    result[m][n][i] *= shrink;
                    score[m][n][i] = power_of_2(score[m][n][i] * scale - base);
                    sum[m][half] += score[m][n][i];
                }
            }
        }
    }
}

template <typename T>
__device__ __forceinline__ void accumulate_tile(Scores& result, const Scores& power, const uint4* values) {
    const int lane = threadIdx.x % 32;
    UNROLL
    for (int step = 0; step < 4; ++step) {
        unsigned weight[2][4];
        UNROLL
        for (int m = 0; m < 2; ++m) {
            UNROLL
            for (int i = 0; i < 4; ++i) {
                const float(&pair_of)[4] = power[m][step * 2 + i / 2];
                weight[m][i] = pair<T>(pair_of[i % 2 * 2], pair_of[i % 2 * 2 + 1]);
            }
        }
        UNROLL
        for (int two = 0; two < 4; ++two) {
            unsigned value[4];
            const int row = step * 16 + lane % 16;
            load_matrices_transposed(value, values + swizzled(row, two * 2 + lane / 16));
            UNROLL
            for (int m = 0; m < 2; ++m) {
                multiply<T>(result[m][two * 2], weight[m], value[0], value[1]);
                multiply<T>(result[m][two * 2 + 1], weight[m], value[2], value[3]);
            }
        }
    }
}

// Stores the rows of a warp, through shared memory so that whole cache lines are written.
template <typename T>
__device__ __forceinline__ void store_rows(const Scores& result, float (&sum)[2][2], const Part<T>& part, uint4* buffer) {
    const int lane = threadIdx.x % 32, first_row = threadIdx.x / 32 * WARP_ROWS;
    UNROLL
    for (int m = 0; m < 2; ++m) {
        UNROLL
        for (int half = 0; half < 2; ++half) {
            const float share = 1.0f / lanes_sum<4>(sum[m][half]);
            const int row = first_row + m * 16 + lane / 4 + half * 8;
            UNROLL
            for (int n = 0; n < 8; ++n) {
                reinterpret_cast<unsigned*>(buffer + swizzled(row, n))[lane % 4] =
                    pair<T>(result[m][n][half * 2] * share, result[m][n][half * 2 + 1] * share);
            }
        }
    }
    __syncwarp();
    UNROLL
    for (int i = 0; i < WARP_ROWS / 4; ++i) {
        const int row = first_row + i * 4 + lane / 8, chunk = lane % 8;
        if (row < part.rows) {
            *reinterpret_cast<uint4*>(part.y + Count(row) * part.y_stride + chunk * 8) = buffer[swizzled(row, chunk)];
        }
    }
}

template <typename T> __device__ __forceinline__ void attend_mma(const Part<T>& part, uint4* buffer) {
    const int lane = threadIdx.x % 32, first_row = threadIdx.x / 32 * WARP_ROWS;
    const int end = attended_by(part, part.rows - 1), tiles = (end + TILE - 1) / TILE;
    uint4* const second = buffer + 2 * TILE_WORDS;
    // The queries are loaded to where the second tile will be.
    copy_rows<ATTENTION_ROWS>(second, part.q, part.q_stride, 0, part.rows);
    commit_copies();
    copy_rows<TILE>(buffer, part.keys, part.entry_stride, 0, end);
    copy_rows<TILE>(buffer + TILE_WORDS, part.values, part.entry_stride, 0, end);
    commit_copies();
    wait_copies<1>();
    __syncthreads();
    unsigned query[2][4][4];
    UNROLL
    for (int m = 0; m < 2; ++m) {
        UNROLL
        for (int step = 0; step < 4; ++step) {
            load_matrices(query[m][step], second + swizzled(first_row + m * 16 + lane % 16, step * 2 + lane / 16));
        }
    }
    Scores result = {};
    float max[2][2] = {{NO_SCORE, NO_SCORE}, {NO_SCORE, NO_SCORE}}, sum[2][2] = {};
    for (int tile = 0; tile < tiles; ++tile) {
        uint4* const current = tile % 2 ? second : buffer;
        uint4* const next = tile % 2 ? buffer : second;
        // After the barrier, this tile is loaded for all threads, and no thread reads the previous one any more.
        wait_copies<0>();
        __syncthreads();
        const int after = (tile + 1) * TILE;
        if (after < end) {
            copy_rows<TILE>(next, part.keys, part.entry_stride, after, end);
            copy_rows<TILE>(next + TILE_WORDS, part.values, part.entry_stride, after, end);
        }
        commit_copies();
        Scores score = {};
        score_tile<T>(score, query, current);
        if (after > part.attended) apply_mask(score, part, first_row, tile * TILE);
        update_softmax(score, max, sum, result, part.scale);
        accumulate_tile<T>(result, score, current + TILE_WORDS);
    }
    __syncthreads();
    store_rows(result, sum, part, buffer);
}
