// The kernels with AVX-512F: the shape of avx2.c with one 64-byte line a load.
//
// May use: <immintrin.h>, under a target attribute.

#include "kernels_internal.h"

#if defined(__x86_64__) || defined(VZ_EMULATE_X86)
#include <immintrin.h>

#ifndef VZ_TARGET
#define VZ_TARGET __attribute__((target("avx512f")))
#endif

VZ_TARGET static inline __m512 step_inner_product(__m512 sum, __m512 q, __m512 r) { return _mm512_fmadd_ps(q, r, sum); }

VZ_TARGET static inline __m512 step_squared_l2(__m512 sum, __m512 q, __m512 r) {
  __m512 difference = _mm512_sub_ps(q, r);
  return _mm512_fmadd_ps(difference, difference, sum);
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
      __m512 a0 = _mm512_setzero_ps(), b0 = a0, c0 = a0, d0 = a0, a1 = a0, b1 = a0, c1 = a0, d1 = a0;                 \
      for (size_t j = 0; j < width; j += 16) {                                                                        \
        _mm_prefetch((const char *)(na + j), _MM_HINT_T0);                                                            \
        _mm_prefetch((const char *)(nb + j), _MM_HINT_T0);                                                            \
        _mm_prefetch((const char *)(nc + j), _MM_HINT_T0);                                                            \
        _mm_prefetch((const char *)(nd + j), _MM_HINT_T0);                                                            \
        __m512 q = _mm512_load_ps(query + j);                                                                         \
        __m512 a2 = STEP(a0, q, _mm512_load_ps(a + j)), b2 = STEP(b0, q, _mm512_load_ps(b + j));                      \
        __m512 c2 = STEP(c0, q, _mm512_load_ps(c + j)), d2 = STEP(d0, q, _mm512_load_ps(d + j));                      \
        /* Swapping the two sums of a row each line keeps eight chains without asking for a width of 32. */           \
        a0 = a1, b0 = b1, c0 = c1, d0 = d1;                                                                           \
        a1 = a2, b1 = b2, c1 = c2, d1 = d2;                                                                           \
      }                                                                                                               \
      out[i] = _mm512_reduce_add_ps(_mm512_add_ps(a0, a1));                                                           \
      out[i + 1] = _mm512_reduce_add_ps(_mm512_add_ps(b0, b1));                                                       \
      out[i + 2] = _mm512_reduce_add_ps(_mm512_add_ps(c0, c1));                                                       \
      out[i + 3] = _mm512_reduce_add_ps(_mm512_add_ps(d0, d1));                                                       \
    }                                                                                                                 \
    for (; i < count; i++) {                                                                                          \
      const float *row = vz_row(rows, width, slots, i);                                                               \
      __m512 sum = _mm512_setzero_ps();                                                                               \
      for (size_t j = 0; j < width; j += 16) {                                                                        \
        sum = STEP(sum, _mm512_load_ps(query + j), _mm512_load_ps(row + j));                                          \
      }                                                                                                               \
      out[i] = _mm512_reduce_add_ps(sum);                                                                             \
    }                                                                                                                 \
  }

VZ_DEFINE(inner_product, step_inner_product)
VZ_DEFINE(squared_l2, step_squared_l2)

const vz_kernels vz_kernels_avx512 = {"avx512", inner_product, squared_l2};
#endif
