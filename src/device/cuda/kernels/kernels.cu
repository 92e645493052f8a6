// The CUDA kernels, in one translation unit.
//
// Each is exported as `<kernel>_<f32|f16|bf16>`, after the format of its numbers in memory; all arithmetic is in single
// precision. Matrices are row-major and contiguous unless stated otherwise; pointers to numbers, rows, rules and sampler
// states are 16-byte aligned. The kernels need no dynamic shared memory and no function attributes.
//
// The "Lower bound" in the comment of a kernel is the memory traffic and the arithmetic that it cannot avoid.
//
// The same sources compile for the host, where `shim/` runs them one thread at a time for tests.
#ifdef TRANSCRIBE_HOST
#include "shim/shim.h"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define SHARED(type, name, count) __shared__ type name[count]
#define EXPORT(kernel, min_block, max_block)
#define UNROLL _Pragma("unroll")
#endif

#include "layout.cuh"
#include "numbers.cuh"
#include "reduce.cuh"

#include "rows.cuh"
#include "pointwise.cuh"
#include "caches.cuh"
#include "cached_attention.cuh"
#include "mma.cuh"
#include "attention_mma.cuh"
#include "attention_simt.cuh"
#include "attention.cuh"
#include "distribution.cuh"
#include "sample.cuh"
