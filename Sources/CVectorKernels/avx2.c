// The kernels with AVX2, FMA and F16C: eight floats, or 32 bytes, a vector.
//
// May use: <immintrin.h>, under a target attribute.

#include "row_loops.h"

#if defined(__x86_64__) || defined(VZ_EMULATE_X86)
#include <immintrin.h>

#define AVX2 VZ_TARGET("avx2,fma,f16c")

typedef struct {
  __m256 a, b;
} sixteen;

AVX2 static inline sixteen load_f32(const void *numbers) {
  const float *n = numbers;
  return (sixteen){_mm256_load_ps(n), _mm256_load_ps(n + 8)};
}

AVX2 static inline sixteen load_f16(const void *numbers) {
  const __m128i *n = numbers;
  return (sixteen){_mm256_cvtph_ps(_mm_load_si128(n)), _mm256_cvtph_ps(_mm_load_si128(n + 1))};
}

AVX2 static inline sixteen load_int8(const void *numbers) {
  const char *n = numbers;
  __m256i a = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)n));
  __m256i b = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(n + 8)));
  return (sixteen){_mm256_cvtepi32_ps(a), _mm256_cvtepi32_ps(b)};
}

// Two sums a row, eight for four rows, hide the latency of FMA: 4 to 5 cycles, two a cycle.
typedef sixteen float_sums;

AVX2 static inline float_sums no_floats(void) { return (float_sums){_mm256_setzero_ps(), _mm256_setzero_ps()}; }

AVX2 static inline float_sums add_product(float_sums sum, sixteen q, sixteen r) {
  return (float_sums){_mm256_fmadd_ps(q.a, r.a, sum.a), _mm256_fmadd_ps(q.b, r.b, sum.b)};
}

AVX2 static inline float_sums add_square(float_sums sum, sixteen q, sixteen r) {
  sixteen difference = {_mm256_sub_ps(q.a, r.a), _mm256_sub_ps(q.b, r.b)};
  return add_product(sum, difference, difference);
}

AVX2 static inline void store_floats(const float_sums sums[4], float *out) {
  __m256 s0 = _mm256_add_ps(sums[0].a, sums[0].b), s1 = _mm256_add_ps(sums[1].a, sums[1].b);
  __m256 s2 = _mm256_add_ps(sums[2].a, sums[2].b), s3 = _mm256_add_ps(sums[3].a, sums[3].b);
  __m256 s01 = _mm256_add_ps(_mm256_unpacklo_ps(s0, s1), _mm256_unpackhi_ps(s0, s1));
  __m256 s23 = _mm256_add_ps(_mm256_unpacklo_ps(s2, s3), _mm256_unpackhi_ps(s2, s3));
  __m256 all = _mm256_add_ps(_mm256_shuffle_ps(s01, s23, 0x44), _mm256_shuffle_ps(s01, s23, 0xEE));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
}

VZ_FLOAT_KERNEL(AVX2, f32_product, add_product, load_f32, 4)
VZ_FLOAT_KERNEL(AVX2, f32_squared_l2, add_square, load_f32, 4)
VZ_FLOAT_KERNEL(AVX2, f16_product, add_product, load_f16, 2)
VZ_FLOAT_KERNEL(AVX2, f32_int8_product, add_product, load_int8, 1)

AVX2 static inline void store_sixteen(float *out, sixteen numbers) {
  _mm256_store_ps(out, numbers.a);
  _mm256_store_ps(out + 8, numbers.b);
}

VZ_WIDEN(AVX2, f16_widen, load_f16)

typedef __m256i integers;

AVX2 static inline integers no_integers(void) { return _mm256_setzero_si256(); }
AVX2 static inline __m256i load(const void *bytes) { return _mm256_load_si256(bytes); }

AVX2 static inline void store_integers(const integers s[4], float *out) {
  __m256i s01 = _mm256_add_epi32(_mm256_unpacklo_epi32(s[0], s[1]), _mm256_unpackhi_epi32(s[0], s[1]));
  __m256i s23 = _mm256_add_epi32(_mm256_unpacklo_epi32(s[2], s[3]), _mm256_unpackhi_epi32(s[2], s[3]));
  __m256i all = _mm256_add_epi32(_mm256_unpacklo_epi64(s01, s23), _mm256_unpackhi_epi64(s01, s23));
  __m128i sums = _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
  _mm_storeu_ps(out, _mm_cvtepi32_ps(sums));
}

// Adds sums of 16 bits, pair by pair.
AVX2 static inline integers add_pairs(integers sum, __m256i sums) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(sums, _mm256_set1_epi16(1)));
}

// VPMADDUBSW wants one side unsigned: |q|, times r with q's sign. Two products are at most 2 * 127^2 = 32,258 and fit 16
// bits; more would not, so they are widened at once.
AVX2 static inline integers add_int8(integers sum, const int8_t *query, const char *row) {
  __m256i q = load(query);
  return add_pairs(sum, _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(load(row), q)));
}

AVX2 static inline integers add_line_int8(integers sum, const int8_t *query, const char *row) {
  return add_int8(add_int8(sum, query, row), query + 32, row + 32);
}

// Four times two products, each at most 15 * 127, are 15,240: a line fits 16 bits. (So do two lines, but to widen them
// together is no faster on Zen 3.)
AVX2 static inline integers add_line_int4(integers sum, const int8_t *query, const char *row) {
  const __m256i low = _mm256_set1_epi8(15);
  __m256i r0 = load(row), r1 = load(row + 32);
  __m256i p0 = _mm256_maddubs_epi16(_mm256_and_si256(r0, low), load(query));
  __m256i p1 = _mm256_maddubs_epi16(_mm256_and_si256(r1, low), load(query + 32));
  __m256i p2 = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(r0, 4), low), load(query + 64));
  __m256i p3 = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(r1, 4), low), load(query + 96));
  return add_pairs(sum, _mm256_add_epi16(_mm256_add_epi16(p0, p1), _mm256_add_epi16(p2, p3)));
}

VZ_INTEGER_KERNEL(AVX2, int8_product, add_line_int8, 64)
VZ_INTEGER_KERNEL(AVX2, int4_product, add_line_int4, 128)

const vz_kernels vz_kernels_avx2 = {
    .name = "avx2",
    .f32_product = f32_product,
    .f32_squared_l2 = f32_squared_l2,
    .f16_product = f16_product,
    .int8_product = int8_product,
    .f32_int8_product = f32_int8_product,
    .int4_product = int4_product,
    .f16_widen = f16_widen,
    .hop = vz_hop_plain,
};
#endif
