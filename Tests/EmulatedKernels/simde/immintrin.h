// Stands in for the compiler's header: the same names, emulated in portable C by SIMDe.
#pragma once
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/fma.h>
#include <stdbool.h>
#include <string.h>

// What SIMDe 0.7 does not have, or defines with an argument too many: lane by lane, as Intel's guide has it.

static inline __m256 vz_emulated_cvtph8(__m128i v) {
  _Float16 halves[8];
  float lanes[8];
  _mm_storeu_si128((__m128i *)halves, v);
  for (int i = 0; i < 8; i++) lanes[i] = (float)halves[i];
  return _mm256_loadu_ps(lanes);
}

static inline __m512 vz_emulated_cvtph16(__m256i v) {
  _Float16 halves[16];
  float lanes[16];
  _mm256_storeu_si256((__m256i *)halves, v);
  for (int i = 0; i < 16; i++) lanes[i] = (float)halves[i];
  return _mm512_loadu_ps(lanes);
}

static inline __m512i vz_emulated_cvtepi8(__m128i v) {
  int8_t bytes[16];
  int32_t lanes[16];
  _mm_storeu_si128((__m128i *)bytes, v);
  for (int i = 0; i < 16; i++) lanes[i] = bytes[i];
  return _mm512_loadu_si512(lanes);
}

static inline __m512 vz_emulated_cvtepi32(__m512i v) {
  int32_t integers[16];
  float lanes[16];
  _mm512_storeu_si512(integers, v);
  for (int i = 0; i < 16; i++) lanes[i] = (float)integers[i];
  return _mm512_loadu_ps(lanes);
}

static inline __m512i vz_emulated_madd(__m512i a, __m512i b) {
  int16_t x[32], y[32];
  int32_t lanes[16];
  _mm512_storeu_si512(x, a);
  _mm512_storeu_si512(y, b);
  for (int i = 0; i < 16; i++) lanes[i] = x[2 * i] * y[2 * i] + x[2 * i + 1] * y[2 * i + 1];
  return _mm512_loadu_si512(lanes);
}

static inline float vz_emulated_reduce_add_ps(__m512 v) {
  float lanes[16], sum = 0;
  _mm512_storeu_ps(lanes, v);
  for (int i = 0; i < 16; i++) sum += lanes[i];
  return sum;
}

static inline int32_t vz_emulated_reduce_add_epi32(__m512i v) {
  int32_t lanes[16], sum = 0;
  _mm512_storeu_si512(lanes, v);
  for (int i = 0; i < 16; i++) sum += lanes[i];
  return sum;
}

#undef _mm512_madd_epi16
#define _mm256_cvtph_ps vz_emulated_cvtph8
#define _mm512_cvtph_ps vz_emulated_cvtph16
#define _mm512_cvtepi8_epi32 vz_emulated_cvtepi8
#define _mm512_cvtepi32_ps vz_emulated_cvtepi32
#define _mm512_madd_epi16 vz_emulated_madd
#define _mm512_reduce_add_ps vz_emulated_reduce_add_ps
#define _mm512_reduce_add_epi32 vz_emulated_reduce_add_epi32

// What only a hop needs. Lanes that a mask leaves out are neither read nor set.

#undef __mmask16
#define __mmask16 uint16_t

static inline __m512i vz_emulated_loadu_lanes(uint16_t mask, const void *from) {
  const char *bytes = from;
  int32_t lanes[16] = {0};
  for (int i = 0; i < 16; i++)
    if (mask >> i & 1) memcpy(&lanes[i], bytes + 4 * i, 4);
  return _mm512_loadu_si512(lanes);
}

static inline __m512i vz_emulated_gather(__m512i rest, uint16_t mask, __m512i places, const void *from, int scale) {
  int32_t lanes[16], at[16];
  _mm512_storeu_si512(lanes, rest);
  _mm512_storeu_si512(at, places);
  for (int i = 0; i < 16; i++)
    if (mask >> i & 1) memcpy(&lanes[i], (const char *)from + (int64_t)at[i] * scale, 4);
  return _mm512_loadu_si512(lanes);
}

static inline __m512i vz_emulated_srai(__m512i v, int bits) {
  int32_t lanes[16];
  _mm512_storeu_si512(lanes, v);
  for (int i = 0; i < 16; i++) lanes[i] >>= bits;
  return _mm512_loadu_si512(lanes);
}

static inline uint16_t vz_emulated_cmplt(uint16_t mask, __m512i a, __m512i b) {
  uint32_t x[16], y[16];
  uint16_t result = 0;
  _mm512_storeu_si512(x, a);
  _mm512_storeu_si512(y, b);
  for (int i = 0; i < 16; i++) result |= (uint16_t)((x[i] < y[i]) << i);
  return result & mask;
}

static inline uint16_t vz_emulated_testn(uint16_t mask, __m512i a, __m512i b) {
  uint32_t x[16], y[16];
  uint16_t result = 0;
  _mm512_storeu_si512(x, a);
  _mm512_storeu_si512(y, b);
  for (int i = 0; i < 16; i++) result |= (uint16_t)(((x[i] & y[i]) == 0) << i);
  return result & mask;
}

/// The two comparisons that a hop makes.
static inline uint16_t vz_emulated_cmp_ps(uint16_t mask, __m512 a, __m512 b, int comparison) {
  float x[16], y[16];
  uint16_t result = 0;
  _mm512_storeu_ps(x, a);
  _mm512_storeu_ps(y, b);
  for (int i = 0; i < 16; i++) {
    bool is = comparison == _CMP_NGE_UQ ? !(x[i] >= y[i]) : x[i] != x[i] || y[i] != y[i];
    result |= (uint16_t)(is << i);
  }
  return result & mask;
}

#undef _mm512_cmp_ps_mask
#define _mm512_maskz_loadu_epi32 vz_emulated_loadu_lanes
#define _mm512_maskz_loadu_ps(mask, from) _mm512_castsi512_ps(vz_emulated_loadu_lanes(mask, from))
#define _mm512_mask_i32gather_epi32 vz_emulated_gather
#define _mm512_mask_i32gather_ps(rest, mask, places, from, scale) \
  _mm512_castsi512_ps(vz_emulated_gather(_mm512_castps_si512(rest), mask, places, from, scale))
#define _mm512_srai_epi32 vz_emulated_srai
#define _mm512_mask_cmplt_epu32_mask vz_emulated_cmplt
#define _mm512_mask_testn_epi32_mask vz_emulated_testn
#define _mm512_mask_cmp_ps_mask vz_emulated_cmp_ps
#define _mm512_cmp_ps_mask(a, b, comparison) vz_emulated_cmp_ps(0xFFFF, a, b, comparison)
