// The kernels of this program for CUDA, one translation unit.
//
// Each is exported as `<kernel>_<f32|f16|bf16>` after the type of its numbers in memory; all arithmetic is in single
// precision. Matrices are row-major and contiguous unless said otherwise; pointers to numbers, rows, rules and choices
// are multiples of 16 bytes. The kernels need no dynamic shared memory and no attribute of a function.
//
// The same sources compile for the host, where `shim/` runs them one thread at a time to test them.
#ifdef TRANSCRIBE_HOST
#include "shim/shim.h"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define SHARED(type, name, count) __shared__ type name[count]
#define EXPORT(kernel, least, most)
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
