// The kernels with AVX-512: 16 floats, or one line of 64 bytes, a vector. Two tables, which differ in the integer kernels:
// "avx512" has those of avx2.c, "avx512vnni" multiplies and adds bytes in one instruction.
//
// May use: <immintrin.h>, under target attributes.

#include "row_loops.h"

#if defined(__x86_64__) || defined(VZ_EMULATE_X86)
#include <immintrin.h>

#define AVX512 VZ_TARGET("avx512f,avx512bw")
#define VNNI VZ_TARGET("avx512f,avx512bw,avx512vnni")

typedef __m512 sixteen;

AVX512 static inline sixteen load_f32(const void *numbers) { return _mm512_load_ps(numbers); }
AVX512 static inline sixteen load_f16(const void *numbers) { return _mm512_cvtph_ps(_mm256_load_si256(numbers)); }

AVX512 static inline sixteen load_int8(const void *numbers) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_load_si128(numbers)));
}

// Two sums a row that take turns, as in avx2.c.
typedef struct {
  __m512 a, b;
} float_sums;

AVX512 static inline float_sums no_floats(void) { return (float_sums){_mm512_setzero_ps(), _mm512_setzero_ps()}; }

AVX512 static inline float_sums add_product(float_sums sum, sixteen q, sixteen r) {
  return (float_sums){sum.b, _mm512_fmadd_ps(q, r, sum.a)};
}

AVX512 static inline float_sums add_square(float_sums sum, sixteen q, sixteen r) {
  sixteen difference = _mm512_sub_ps(q, r);
  return add_product(sum, difference, difference);
}

AVX512 static inline void store_floats(const float_sums sums[4], float *out) {
  __m512 s0 = _mm512_add_ps(sums[0].a, sums[0].b), s1 = _mm512_add_ps(sums[1].a, sums[1].b);
  __m512 s2 = _mm512_add_ps(sums[2].a, sums[2].b), s3 = _mm512_add_ps(sums[3].a, sums[3].b);
  __m512 s01 = _mm512_add_ps(_mm512_unpacklo_ps(s0, s1), _mm512_unpackhi_ps(s0, s1));
  __m512 s23 = _mm512_add_ps(_mm512_unpacklo_ps(s2, s3), _mm512_unpackhi_ps(s2, s3));
  __m512 all = _mm512_add_ps(_mm512_shuffle_ps(s01, s23, 0x44), _mm512_shuffle_ps(s01, s23, 0xEE));
  __m128 low = _mm_add_ps(_mm512_castps512_ps128(all), _mm512_extractf32x4_ps(all, 1));
  __m128 high = _mm_add_ps(_mm512_extractf32x4_ps(all, 2), _mm512_extractf32x4_ps(all, 3));
  _mm_storeu_ps(out, _mm_add_ps(low, high));
}

VZ_FLOAT_KERNEL(AVX512, f32_product, add_product, load_f32, 4)
VZ_FLOAT_KERNEL(AVX512, f32_squared_l2, add_square, load_f32, 4)
VZ_FLOAT_KERNEL(AVX512, f16_product, add_product, load_f16, 2)
VZ_FLOAT_KERNEL(AVX512, f32_int8_product, add_product, load_int8, 1)

AVX512 static inline void store_sixteen(float *out, sixteen numbers) { _mm512_store_ps(out, numbers); }

VZ_WIDEN(AVX512, f16_widen, load_f16)

typedef __m512i integers;

AVX512 static inline integers no_integers(void) { return _mm512_setzero_si512(); }
AVX512 static inline __m512i load(const void *line) { return _mm512_load_si512(line); }

AVX512 static inline void store_integers(const integers s[4], float *out) {
  __m512i s01 = _mm512_add_epi32(_mm512_unpacklo_epi32(s[0], s[1]), _mm512_unpackhi_epi32(s[0], s[1]));
  __m512i s23 = _mm512_add_epi32(_mm512_unpacklo_epi32(s[2], s[3]), _mm512_unpackhi_epi32(s[2], s[3]));
  __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(s01, s23), _mm512_unpackhi_epi64(s01, s23));
  __m128i low = _mm_add_epi32(_mm512_castsi512_si128(all), _mm512_extracti32x4_epi32(all, 1));
  __m128i high = _mm_add_epi32(_mm512_extracti32x4_epi32(all, 2), _mm512_extracti32x4_epi32(all, 3));
  _mm_storeu_ps(out, _mm_cvtepi32_ps(_mm_add_epi32(low, high)));
}

// The instructions want one side unsigned: |q|, times r with q's sign.
AVX512 static inline __m512i with_sign(__m512i row, __m512i query) {
  return _mm512_mask_sub_epi8(row, _mm512_movepi8_mask(query), _mm512_setzero_si512(), row);
}

AVX512 static inline __m512i low_numbers(__m512i row) { return _mm512_and_si512(row, _mm512_set1_epi8(15)); }
AVX512 static inline __m512i high_numbers(__m512i row) { return low_numbers(_mm512_srli_epi16(row, 4)); }

// Adds sums of 16 bits, pair by pair.
AVX512 static inline integers add_pairs(integers sum, __m512i sums) {
  return _mm512_add_epi32(sum, _mm512_madd_epi16(sums, _mm512_set1_epi16(1)));
}

// Two products are at most 2 * 127^2 = 32,258 and fit 16 bits.
AVX512 static inline integers add_line_int8(integers sum, const int8_t *query, const char *row) {
  __m512i q = load(query);
  return add_pairs(sum, _mm512_maddubs_epi16(_mm512_abs_epi8(q), with_sign(load(row), q)));
}

// Twice two products, each at most 15 * 127, are 7,620.
AVX512 static inline integers add_line_int4(integers sum, const int8_t *query, const char *row) {
  __m512i r = load(row);
  __m512i low = _mm512_maddubs_epi16(low_numbers(r), load(query));
  __m512i high = _mm512_maddubs_epi16(high_numbers(r), load(query + 64));
  return add_pairs(sum, _mm512_add_epi16(low, high));
}

VZ_INTEGER_KERNEL(AVX512, int8_product, add_line_int8, 64)
VZ_INTEGER_KERNEL(AVX512, int4_product, add_line_int4, 128)

// VPDPBUSD adds four products to a sum of 32 bits.
VNNI static inline integers add_line_int8_vnni(integers sum, const int8_t *query, const char *row) {
  __m512i q = load(query);
  return _mm512_dpbusd_epi32(sum, _mm512_abs_epi8(q), with_sign(load(row), q));
}

VNNI static inline integers add_line_int4_vnni(integers sum, const int8_t *query, const char *row) {
  __m512i r = load(row);
  sum = _mm512_dpbusd_epi32(sum, low_numbers(r), load(query));
  return _mm512_dpbusd_epi32(sum, high_numbers(r), load(query + 64));
}

VZ_INTEGER_KERNEL(VNNI, int8_product_vnni, add_line_int8_vnni, 64)
VZ_INTEGER_KERNEL(VNNI, int4_product_vnni, add_line_int4_vnni, 128)

const vz_kernels vz_kernels_avx512 = {
    .name = "avx512",
    .f32_product = f32_product,
    .f32_squared_l2 = f32_squared_l2,
    .f16_product = f16_product,
    .int8_product = int8_product,
    .f32_int8_product = f32_int8_product,
    .int4_product = int4_product,
    .f16_widen = f16_widen,
    .hop = vz_hop_avx512,
};

const vz_kernels vz_kernels_avx512vnni = {
    .name = "avx512vnni",
    .f32_product = f32_product,
    .f32_squared_l2 = f32_squared_l2,
    .f16_product = f16_product,
    .int8_product = int8_product_vnni,
    .f32_int8_product = f32_int8_product,
    .int4_product = int4_product_vnni,
    .f16_widen = f16_widen,
    .hop = vz_hop_avx512,
};
#endif
