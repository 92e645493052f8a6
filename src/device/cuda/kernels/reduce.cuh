// Reductions over the threads of a warp and of a block.
#pragma once

constexpr unsigned ALL_LANES = 0xffffffffu;

// Returns the sum over each group of LANES neighbouring lanes to all of its lanes.
template <int LANES> __device__ __forceinline__ float lanes_sum(float x) {
    UNROLL
    for (int other = LANES / 2; other > 0; other /= 2) x += __shfl_xor_sync(ALL_LANES, x, other);
    return x;
}

template <int LANES> __device__ __forceinline__ float lanes_max(float x) {
    UNROLL
    for (int other = LANES / 2; other > 0; other /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, other));
    return x;
}

// Returns the sum over the block to each thread. `scratch` holds one number for each warp, and must not be used for
// anything else before the next barrier after the call.
__device__ __forceinline__ float block_sum(float x, float* scratch) {
    x = lanes_sum<32>(x);
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
    __syncthreads();
    float sum = 0.0f;
    for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) sum += scratch[warp];
    return sum;
}

__device__ __forceinline__ float block_max(float x, float* scratch) {
    x = lanes_max<32>(x);
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
    __syncthreads();
    float max = scratch[0];
    for (unsigned warp = 1; warp < blockDim.x / 32; ++warp) max = fmaxf(max, scratch[warp]);
    return max;
}
