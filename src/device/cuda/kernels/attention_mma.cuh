// Attention of many rows on the tensor cores, for heads of 64 numbers of 16 bits: no score ever leaves the registers.
#pragma once

// Rows of queries that a block has, and its warps.
constexpr int ATTENTION_ROWS = 128, ATTENTION_WARPS = 4;
constexpr int WARP_ROWS = ATTENTION_ROWS / ATTENTION_WARPS;
// Shared memory of a block: two tiles of keys and of values, in 16 bytes.
constexpr int ATTENTION_WORDS = 2048;

// What a block has to do: some rows of one head against the entries of one slot, all pointers at the first of them.
template <typename T> struct Part {
    const T *q, *keys, *values;
    T* y;
    int q_stride, entry_stride, y_stride;
    int rows;
    // How many entries row 0 sees; each row sees `more` more than the one before.
    int seen, more;
    // For scores as powers of 2.
    float scale;
};

template <typename T> __device__ __forceinline__ int visible(const Part<T>& part, int row) {
    return part.seen + part.more * row;
}

constexpr int TILE = 64;
constexpr int TILE_WORDS = TILE * 8;

// Where piece `chunk` (of 8 numbers) of a row of 64 is: turned about with the row, so that 8 rows of the same piece
// have all banks to themselves.
__device__ __forceinline__ int place_of(int row, int chunk) { return row * 8 + (chunk ^ (row & 7)); }

// Begins to copy ROWS rows of 64 numbers; those from `end` on become zeros.
template <int ROWS, typename T>
__device__ __forceinline__ void copy_rows(uint4* to, const T* from, int stride, int first, int end) {
    UNROLL
    for (int i = 0; i < ROWS * 8 / (ATTENTION_WARPS * 32); ++i) {
        const int piece = threadIdx.x + i * ATTENTION_WARPS * 32, row = piece / 8, chunk = piece % 8;
        const bool there = first + row < end;
        copy_async(to + place_of(row, chunk), from + Count(there ? first + row : 0) * stride + chunk * 8, there);
    }
}

// The scores of 32 rows and 64 entries: for each 16 rows and 8 entries, 4 numbers of each lane.
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
            load_matrices(key, keys + place_of(row, step * 2 + lane / 8 % 2));
            UNROLL
            for (int m = 0; m < 2; ++m) {
                multiply<T>(score[m][two * 2], query[m][step], key[0], key[1]);
                multiply<T>(score[m][two * 2 + 1], query[m][step], key[2], key[3]);
            }
        }
    }
}

template <typename T>
__device__ __forceinline__ void hide(Scores& score, const Part<T>& part, int first_row, int first_entry) {
    const int lane = threadIdx.x % 32;
    UNROLL
    for (int m = 0; m < 2; ++m) {
        UNROLL
        for (int i = 0; i < 4; ++i) {
            const int row = first_row + m * 16 + lane / 4 + i / 2 * 8, entry = first_entry + lane % 4 * 2 + i % 2;
            const int end = visible(part, row) - entry;
            UNROLL
            for (int n = 0; n < 8; ++n) score[m][n][i] = n * 8 < end ? score[m][n][i] : -INFINITY;
        }
    }
}

// Makes powers of the scores; what was heard before shrinks where a larger one has come.
__device__ __forceinline__ void soften(Scores& score, float (&max)[2][2], float (&sum)[2][2], Scores& heard,
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
                    heard[m][n][i] *= shrink;
                    score[m][n][i] = power_of_2(score[m][n][i] * scale - base);
                    sum[m][half] += score[m][n][i];
                }
            }
        }
    }
}

template <typename T>
__device__ __forceinline__ void hear_tile(Scores& heard, const Scores& power, const uint4* values) {
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
            load_matrices_turned(value, values + place_of(row, two * 2 + lane / 16));
            UNROLL
            for (int m = 0; m < 2; ++m) {
                multiply<T>(heard[m][two * 2], weight[m], value[0], value[1]);
                multiply<T>(heard[m][two * 2 + 1], weight[m], value[2], value[3]);
            }
        }
    }
}

// The rows of a warp, by way of shared memory, so that whole lines are written.
template <typename T>
__device__ __forceinline__ void tell(const Scores& heard, float (&sum)[2][2], const Part<T>& part, uint4* buffer) {
    const int lane = threadIdx.x % 32, first_row = threadIdx.x / 32 * WARP_ROWS;
    UNROLL
    for (int m = 0; m < 2; ++m) {
        UNROLL
        for (int half = 0; half < 2; ++half) {
            const float share = 1.0f / lanes_sum<4>(sum[m][half]);
            const int row = first_row + m * 16 + lane / 4 + half * 8;
            UNROLL
            for (int n = 0; n < 8; ++n) {
                reinterpret_cast<unsigned*>(buffer + place_of(row, n))[lane % 4] =
                    pair<T>(heard[m][n][half * 2] * share, heard[m][n][half * 2 + 1] * share);
            }
        }
    }
    __syncwarp();
    UNROLL
    for (int i = 0; i < WARP_ROWS / 4; ++i) {
        const int row = first_row + i * 4 + lane / 8, chunk = lane % 8;
        if (row < part.rows) {
            *reinterpret_cast<uint4*>(part.y + Count(row) * part.y_stride + chunk * 8) = buffer[place_of(row, chunk)];
        }
    }
}

template <typename T> __device__ __forceinline__ void attend_in_tiles(const Part<T>& part, uint4* buffer) {
    const int lane = threadIdx.x % 32, first_row = threadIdx.x / 32 * WARP_ROWS;
    const int end = visible(part, part.rows - 1), tiles = (end + TILE - 1) / TILE;
    uint4* const second = buffer + 2 * TILE_WORDS;
    // The queries wait where the second tile will be.
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
            load_matrices(query[m][step], second + place_of(first_row + m * 16 + lane % 16, step * 2 + lane / 16));
        }
    }
    Scores heard = {};
    float max[2][2] = {{NO_SCORE, NO_SCORE}, {NO_SCORE, NO_SCORE}}, sum[2][2] = {};
    for (int tile = 0; tile < tiles; ++tile) {
        uint4* const here = tile % 2 ? second : buffer;
        uint4* const next = tile % 2 ? buffer : second;
        // This tile has come for all threads, and none reads the one before it any more.
        wait_copies<0>();
        __syncthreads();
        const int after = (tile + 1) * TILE;
        if (after < end) {
            copy_rows<TILE>(next, part.keys, part.entry_stride, after, end);
            copy_rows<TILE>(next + TILE_WORDS, part.values, part.entry_stride, after, end);
        }
        commit_copies();
        Scores score = {};
        score_tile<T>(score, query, here);
        if (after > part.seen) hide(score, part, first_row, tile * TILE);
        soften(score, max, sum, heard, part.scale);
        hear_tile<T>(heard, score, here + TILE_WORDS);
    }
    __syncthreads();
    tell(heard, sum, part, buffer);
}
