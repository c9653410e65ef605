// The kernels with AVX2, FMA and F16C.
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
#define VZ_TARGET __attribute__((target("avx2,fma,f16c")))
#endif

VZ_TARGET static inline float sum8(__m256 v) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  half = _mm_add_ss(half, _mm_shuffle_ps(half, half, 1));
  return _mm_cvtss_f32(half);
}

// One step of each metric, so that the loops below are written once.
VZ_TARGET static inline __m256 step_product(__m256 sum, __m256 q, __m256 r) { return _mm256_fmadd_ps(q, r, sum); }

VZ_TARGET static inline __m256 step_squared_l2(__m256 sum, __m256 q, __m256 r) {
  __m256 difference = _mm256_sub_ps(q, r);
  return _mm256_fmadd_ps(difference, difference, sum);
}

// Loads of eight numbers of a row as floats.
VZ_TARGET static inline __m256 load_f32(const void *row, size_t j) { return _mm256_load_ps((const float *)row + j); }

VZ_TARGET static inline __m256 load_f16(const void *row, size_t j) {
  return _mm256_cvtph_ps(_mm_load_si128((const __m128i *)((const uint16_t *)row + j)));
}

VZ_TARGET static inline __m256 load_int8(const void *row, size_t j) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)((const int8_t *)row + j))));
}

#define VZ_DEFINE(name, STEP, LOAD, BYTES)                                                                            \
  VZ_TARGET static void name(const void *query, const void *rows, size_t width, const uint32_t *slots, size_t count,  \
                             float *out) {                                                                            \
    const float *q = query;                                                                                           \
    size_t bytes = width * BYTES, i = 0;                                                                              \
    for (; i + 4 <= count; i += 4) {                                                                                  \
      const void *a = vz_row(rows, bytes, slots, i), *b = vz_row(rows, bytes, slots, i + 1);                          \
      const void *c = vz_row(rows, bytes, slots, i + 2), *d = vz_row(rows, bytes, slots, i + 3);                      \
      size_t last = count - 1;                                                                                        \
      const char *na = vz_row(rows, bytes, slots, i + 4 < last ? i + 4 : last);                                       \
      const char *nb = vz_row(rows, bytes, slots, i + 5 < last ? i + 5 : last);                                       \
      const char *nc = vz_row(rows, bytes, slots, i + 6 < last ? i + 6 : last);                                       \
      const char *nd = vz_row(rows, bytes, slots, i + 7 < last ? i + 7 : last);                                       \
      __m256 a0 = _mm256_setzero_ps(), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;                 \
      for (size_t j = 0; j < width; j += 16) {                                                                        \
        _mm_prefetch(na + j * BYTES, _MM_HINT_T0);                                                                    \
        _mm_prefetch(nb + j * BYTES, _MM_HINT_T0);                                                                    \
        _mm_prefetch(nc + j * BYTES, _MM_HINT_T0);                                                                    \
        _mm_prefetch(nd + j * BYTES, _MM_HINT_T0);                                                                    \
        __m256 q0 = _mm256_load_ps(q + j), q1 = _mm256_load_ps(q + j + 8);                                            \
        a0 = STEP(a0, q0, LOAD(a, j));                                                                                \
        b0 = STEP(b0, q0, LOAD(b, j));                                                                                \
        c0 = STEP(c0, q0, LOAD(c, j));                                                                                \
        d0 = STEP(d0, q0, LOAD(d, j));                                                                                \
        a1 = STEP(a1, q1, LOAD(a, j + 8));                                                                            \
        b1 = STEP(b1, q1, LOAD(b, j + 8));                                                                            \
        c1 = STEP(c1, q1, LOAD(c, j + 8));                                                                            \
        d1 = STEP(d1, q1, LOAD(d, j + 8));                                                                            \
      }                                                                                                               \
      out[i] = sum8(_mm256_add_ps(a0, a1));                                                                           \
      out[i + 1] = sum8(_mm256_add_ps(b0, b1));                                                                       \
      out[i + 2] = sum8(_mm256_add_ps(c0, c1));                                                                       \
      out[i + 3] = sum8(_mm256_add_ps(d0, d1));                                                                       \
    }                                                                                                                 \
    for (; i < count; i++) {                                                                                          \
      const void *row = vz_row(rows, bytes, slots, i);                                                                \
      __m256 s0 = _mm256_setzero_ps(), s1 = s0;                                                                       \
      for (size_t j = 0; j < width; j += 16) {                                                                        \
        s0 = STEP(s0, _mm256_load_ps(q + j), LOAD(row, j));                                                           \
        s1 = STEP(s1, _mm256_load_ps(q + j + 8), LOAD(row, j + 8));                                                   \
      }                                                                                                               \
      out[i] = sum8(_mm256_add_ps(s0, s1));                                                                           \
    }                                                                                                                 \
  }

VZ_DEFINE(f32_product, step_product, load_f32, 4)
VZ_DEFINE(f32_squared_l2, step_squared_l2, load_f32, 4)
VZ_DEFINE(f16_product, step_product, load_f16, 2)
VZ_DEFINE(f32_int8_product, step_product, load_int8, 1)

// Integer sums of four rows, joined.
VZ_TARGET static inline void store4(__m256i a, __m256i b, __m256i c, __m256i d, float *out) {
  __m256i ab = _mm256_hadd_epi32(a, b), cd = _mm256_hadd_epi32(c, d);
  __m256i abcd = _mm256_hadd_epi32(ab, cd);
  __m128i sums = _mm_add_epi32(_mm256_castsi256_si128(abcd), _mm256_extracti128_si256(abcd, 1));
  _mm_storeu_ps(out, _mm_cvtepi32_ps(sums));
}

VZ_TARGET static inline float sum8_int(__m256i v) {
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4E));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xB1));
  return (float)_mm_cvtsi128_si32(half);
}

// |q| times r with q's sign: VPMADDUBSW wants one side unsigned. Two such products are at most 2 * 127^2 = 32,258, so 16
// bits do not saturate; a third would, so each is widened at once.
VZ_TARGET static inline __m256i step_int8(__m256i sum, __m256i q, __m256i magnitude, const void *row, size_t j) {
  __m256i r = _mm256_load_si256((const __m256i *)((const int8_t *)row + j));
  __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(r, q));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

VZ_TARGET static void int8_product(const void *query, const void *rows, size_t width, const uint32_t *slots,
                                   size_t count, float *out) {
  const int8_t *q = query;
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const void *a = vz_row(rows, width, slots, i), *b = vz_row(rows, width, slots, i + 1);
    const void *c = vz_row(rows, width, slots, i + 2), *d = vz_row(rows, width, slots, i + 3);
    __m256i sa = _mm256_setzero_si256(), sb = sa, sc = sa, sd = sa;
    for (size_t j = 0; j < width; j += 32) {
      __m256i numbers = _mm256_load_si256((const __m256i *)(q + j)), magnitude = _mm256_abs_epi8(numbers);
      sa = step_int8(sa, numbers, magnitude, a, j);
      sb = step_int8(sb, numbers, magnitude, b, j);
      sc = step_int8(sc, numbers, magnitude, c, j);
      sd = step_int8(sd, numbers, magnitude, d, j);
    }
    store4(sa, sb, sc, sd, out + i);
  }
  for (; i < count; i++) {
    const void *row = vz_row(rows, width, slots, i);
    __m256i sum = _mm256_setzero_si256();
    for (size_t j = 0; j < width; j += 32) {
      __m256i numbers = _mm256_load_si256((const __m256i *)(q + j));
      sum = step_int8(sum, numbers, _mm256_abs_epi8(numbers), row, j);
    }
    out[i] = sum8_int(sum);
  }
}

// One 64-byte line of a 4-bit row, 128 numbers, in 16 bits: four products of two, each at most 2 * 15 * 127 = 3,810, make
// 15,240, so two lines do not saturate (30,480) and are widened together.
VZ_TARGET static inline __m256i line_int4(const int8_t *q, const uint8_t *row) {
  const __m256i low = _mm256_set1_epi8(15);
  __m256i r0 = _mm256_load_si256((const __m256i *)row), r1 = _mm256_load_si256((const __m256i *)(row + 32));
  const __m256i *n = (const __m256i *)q;
  __m256i p0 = _mm256_maddubs_epi16(_mm256_and_si256(r0, low), _mm256_load_si256(n));
  __m256i p1 = _mm256_maddubs_epi16(_mm256_and_si256(r1, low), _mm256_load_si256(n + 1));
  __m256i p2 = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(r0, 4), low), _mm256_load_si256(n + 2));
  __m256i p3 = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(r1, 4), low), _mm256_load_si256(n + 3));
  return _mm256_add_epi16(_mm256_add_epi16(p0, p1), _mm256_add_epi16(p2, p3));
}

VZ_TARGET static inline __m256i row_int4(const int8_t *q, const uint8_t *row, size_t width) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i sum = _mm256_setzero_si256();
  size_t j = 0;
  for (; j + 256 <= width; j += 256) {
    __m256i lines = _mm256_add_epi16(line_int4(q + j, row + j / 2), line_int4(q + j + 128, row + j / 2 + 64));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(lines, ones));
  }
  if (j < width) sum = _mm256_add_epi32(sum, _mm256_madd_epi16(line_int4(q + j, row + j / 2), ones));
  return sum;
}

// A search asks for its rows before it has them scored, so nothing is fetched here.
VZ_TARGET static void int4_product(const void *query, const void *rows, size_t width, const uint32_t *slots,
                                   size_t count, float *out) {
  const int8_t *q = query;
  size_t bytes = width / 2, i = 0;
  for (; i + 4 <= count; i += 4) {
    __m256i a = row_int4(q, vz_row(rows, bytes, slots, i), width);
    __m256i b = row_int4(q, vz_row(rows, bytes, slots, i + 1), width);
    __m256i c = row_int4(q, vz_row(rows, bytes, slots, i + 2), width);
    __m256i d = row_int4(q, vz_row(rows, bytes, slots, i + 3), width);
    store4(a, b, c, d, out + i);
  }
  for (; i < count; i++) out[i] = sum8_int(row_int4(q, vz_row(rows, bytes, slots, i), width));
}

const vz_kernels vz_kernels_avx2 = {
    .name = "avx2",
    .f32_product = f32_product,
    .f32_squared_l2 = f32_squared_l2,
    .f16_product = f16_product,
    .int8_product = int8_product,
    .f32_int8_product = f32_int8_product,
    .int4_product = int4_product,
};
#endif
