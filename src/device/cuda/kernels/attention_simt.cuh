// Attention of many rows without tensor cores, in single precision, for f32 and for heads of other than 64 dimensions.
#pragma once

// Rows that a block processes at a time, two threads to a row; entries in shared memory; entries per update of the sums.
constexpr int SIMT_ROWS = 64, SIMT_ENTRIES = 32, SIMT_STEP = 8;

__device__ __forceinline__ void unpack_four(const uint4& word, float (&x)[4]) {
    x[0] = __uint_as_float(word.x);
    x[1] = __uint_as_float(word.y);
    x[2] = __uint_as_float(word.z);
    x[3] = __uint_as_float(word.w);
}

// Loads the keys or values of SIMT_ENTRIES entries, WIDTH numbers each, with zeros beyond the head and the last entry.
template <int WIDTH, typename T>
__device__ __forceinline__ void widen_entries(uint4* to, const T* from, int stride, int first, int end, int head) {
    for (int i = threadIdx.x; i < SIMT_ENTRIES * WIDTH / 8; i += blockDim.x) {
        const int entry = i / (WIDTH / 8), column = i % (WIDTH / 8) * 8;
        float x[8] = {};
        if (first + entry < end && column < head) unpack<T>(load8(from + Count(first + entry) * stride + column), x);
        const Eight<float> wide = pack<float>(x);
        to[i * 2] = wide.words[0];
        to[i * 2 + 1] = wide.words[1];
    }
}

// Computes rows first_row..first_row + SIMT_ROWS of a part. Of each 8 dimensions of a head, one thread has the first 4
// and the other one the rest, so that the two read neighbouring banks.
template <int WIDTH, typename T>
__device__ __forceinline__ void attend_rows(const Part<T>& part, int head, int first_row, uint4* buffer) {
    constexpr int PIECES = WIDTH / 8;
    const int row = first_row + threadIdx.x / 2, half = threadIdx.x % 2;
    const bool is_valid = row < part.rows;
    const int last = min(first_row + SIMT_ROWS, part.rows) - 1, end = attended_by(part, last), own_end = attended_by(part, row);
    uint4* const values = buffer + SIMT_ENTRIES * WIDTH / 4;
    float query[PIECES][4] = {}, result[PIECES][4] = {}, max = NO_SCORE, sum = 0.0f;
    UNROLL
    for (int p = 0; p < PIECES; ++p) {
        if (!is_valid || p * 8 >= head) continue;
        UNROLL
        for (int j = 0; j < 4; ++j) {
            query[p][j] = widen(part.q[Count(row) * part.q_stride + p * 8 + half * 4 + j]) * part.scale;
        }
    }
    for (int first = 0; first < end; first += SIMT_ENTRIES) {
        __syncthreads();
        widen_entries<WIDTH>(buffer, part.keys, part.entry_stride, first, end, head);
        widen_entries<WIDTH>(values, part.values, part.entry_stride, first, end, head);
        __syncthreads();
        for (int step = 0; step < SIMT_ENTRIES; step += SIMT_STEP) {
            float score[SIMT_STEP], largest = max;
            UNROLL
            for (int e = 0; e < SIMT_STEP; ++e) {
                float product = 0.0f;
                UNROLL
                for (int p = 0; p < PIECES; ++p) {
                    float key[4];
                    unpack_four(buffer[((step + e) * PIECES + p) * 2 + half], key);
                    UNROLL
                    for (int j = 0; j < 4; ++j) product += query[p][j] * key[j];
                }
                product = lanes_sum<2>(product);
                score[e] = first + step + e < own_end ? product : -INFINITY;
                largest = fmaxf(largest, score[e]);
            }
            const float shrink = power_of_2(max - largest);
            max = largest;
            sum *= shrink;
            UNROLL
            for (int p = 0; p < PIECES; ++p) {
                UNROLL
                for (int j = 0; j < 4; ++j) result[p][j] *= shrink;
            }
            UNROLL
            for (int e = 0; e < SIMT_STEP; ++e) {
                const float power = power_of_2(score[e] - max);
                sum += power;
                UNROLL
                for (int p = 0; p < PIECES; ++p) {
                    float value[4];
                    unpack_four(values[((step + e) * PIECES + p) * 2 + half], value);
                    UNROLL
                    for (int j = 0; j < 4; ++j) result[p][j] += power * value[j];
                }
            }
        }
    }
    UNROLL
    for (int p = 0; p < PIECES; ++p) {
        if (!is_valid || p * 8 >= head) continue;
        UNROLL
        for (int j = 0; j < 4; ++j) {
            part.y[Count(row) * part.y_stride + p * 8 + half * 4 + j] = narrow<T>(result[p][j] / sum);
        }
    }
}

template <typename T>
__device__ __forceinline__ void attend_simt(const Part<T>& part, int head, uint4* buffer) {
    for (int first = 0; first < part.rows; first += SIMT_ROWS) {
        if (head <= 32) {
            attend_rows<32>(part, head, first, buffer);
        } else if (head <= 64) {
            attend_rows<64>(part, head, first, buffer);
        } else {
            attend_rows<128>(part, head, first, buffer);
        }
    }
}
