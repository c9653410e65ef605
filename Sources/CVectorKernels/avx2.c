// The kernels with AVX2 and FMA.
//
// Four rows at a time share each load of the query and keep eight independent sums, which hides the latency of FMA (4 to
// 5 cycles, two a cycle). While four rows are summed, the same line of each of the next four is asked for: the addresses
// are known, and a row that lies in memory costs more than its arithmetic.
//
// May use: <immintrin.h>, under a target attribute.

#include "kernels_internal.h"

#if defined(__x86_64__) || defined(VZ_EMULATE_X86)
#include <immintrin.h>

#ifndef VZ_TARGET
#define VZ_TARGET __attribute__((target("avx2,fma")))
#endif

VZ_TARGET static inline float sum8(__m256 v) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  half = _mm_add_ss(half, _mm_shuffle_ps(half, half, 1));
  return _mm_cvtss_f32(half);
}

// One step of each metric, so that the loops below are written once.
VZ_TARGET static inline __m256 step_inner_product(__m256 sum, __m256 q, __m256 r) { return _mm256_fmadd_ps(q, r, sum); }

VZ_TARGET static inline __m256 step_squared_l2(__m256 sum, __m256 q, __m256 r) {
  __m256 difference = _mm256_sub_ps(q, r);
  return _mm256_fmadd_ps(difference, difference, sum);
}

#define VZ_DEFINE(name, STEP)                                                                                         \
  VZ_TARGET static void name(const float *query, const float *rows, size_t width, const uint32_t *slots,              \
                             size_t count, float *out) {                                                              \
    size_t i = 0;                                                                                                     \
    for (; i + 4 <= count; i += 4) {                                                                                  \
      const float *a = vz_row(rows, width, slots, i), *b = vz_row(rows, width, slots, i + 1);                         \
      const float *c = vz_row(rows, width, slots, i + 2), *d = vz_row(rows, width, slots, i + 3);                     \
      size_t last = count - 1;                                                                                        \
      const float *na = vz_row(rows, width, slots, i + 4 < last ? i + 4 : last);                                      \
      const float *nb = vz_row(rows, width, slots, i + 5 < last ? i + 5 : last);                                      \
      const float *nc = vz_row(rows, width, slots, i + 6 < last ? i + 6 : last);                                      \
      const float *nd = vz_row(rows, width, slots, i + 7 < last ? i + 7 : last);                                      \
      __m256 a0 = _mm256_setzero_ps(), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;                 \
      for (size_t j = 0; j < width; j += 16) {                                                                        \
        _mm_prefetch((const char *)(na + j), _MM_HINT_T0);                                                            \
        _mm_prefetch((const char *)(nb + j), _MM_HINT_T0);                                                            \
        _mm_prefetch((const char *)(nc + j), _MM_HINT_T0);                                                            \
        _mm_prefetch((const char *)(nd + j), _MM_HINT_T0);                                                            \
        __m256 q0 = _mm256_load_ps(query + j), q1 = _mm256_load_ps(query + j + 8);                                    \
        a0 = STEP(a0, q0, _mm256_load_ps(a + j));                                                                     \
        b0 = STEP(b0, q0, _mm256_load_ps(b + j));                                                                     \
        c0 = STEP(c0, q0, _mm256_load_ps(c + j));                                                                     \
        d0 = STEP(d0, q0, _mm256_load_ps(d + j));                                                                     \
        a1 = STEP(a1, q1, _mm256_load_ps(a + j + 8));                                                                 \
        b1 = STEP(b1, q1, _mm256_load_ps(b + j + 8));                                                                 \
        c1 = STEP(c1, q1, _mm256_load_ps(c + j + 8));                                                                 \
        d1 = STEP(d1, q1, _mm256_load_ps(d + j + 8));                                                                 \
      }                                                                                                               \
      out[i] = sum8(_mm256_add_ps(a0, a1));                                                                           \
      out[i + 1] = sum8(_mm256_add_ps(b0, b1));                                                                       \
      out[i + 2] = sum8(_mm256_add_ps(c0, c1));                                                                       \
      out[i + 3] = sum8(_mm256_add_ps(d0, d1));                                                                       \
    }                                                                                                                 \
    for (; i < count; i++) {                                                                                          \
      const float *row = vz_row(rows, width, slots, i);                                                               \
      __m256 s0 = _mm256_setzero_ps(), s1 = s0;                                                                       \
      for (size_t j = 0; j < width; j += 16) {                                                                        \
        s0 = STEP(s0, _mm256_load_ps(query + j), _mm256_load_ps(row + j));                                            \
        s1 = STEP(s1, _mm256_load_ps(query + j + 8), _mm256_load_ps(row + j + 8));                                    \
      }                                                                                                               \
      out[i] = sum8(_mm256_add_ps(s0, s1));                                                                           \
    }                                                                                                                 \
  }

VZ_DEFINE(inner_product, step_inner_product)
VZ_DEFINE(squared_l2, step_squared_l2)

const vz_kernels vz_kernels_avx2 = {"avx2", inner_product, squared_l2};
#endif
