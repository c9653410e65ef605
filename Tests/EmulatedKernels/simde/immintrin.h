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

static inline __m512i vz_emulated_srai(__m512i v, int bits) {
  int32_t lanes[16];
  _mm512_storeu_si512(lanes, v);
  for (int i = 0; i < 16; i++) lanes[i] >>= bits;
  return _mm512_loadu_si512(lanes);
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
#define _mm512_srai_epi32 vz_emulated_srai
#define _mm512_mask_cmp_ps_mask vz_emulated_cmp_ps
#define _mm512_cmp_ps_mask(a, b, comparison) vz_emulated_cmp_ps(0xFFFF, a, b, comparison)

// What only queues need: the same for lanes of 64 bits.

#undef __mmask8
#define __mmask8 uint8_t

static inline __m512i vz_emulated_loadu_entries(__m512i rest, uint8_t mask, const void *from) {
  const char *bytes = from;
  uint64_t lanes[8];
  _mm512_storeu_si512(lanes, rest);
  for (int i = 0; i < 8; i++)
    if (mask >> i & 1) memcpy(&lanes[i], bytes + 8 * i, 8);
  return _mm512_loadu_si512(lanes);
}

static inline __m512i vz_emulated_alignr(__m512i high, __m512i low, int first) {
  uint64_t lanes[16];
  _mm512_storeu_si512(lanes, low);
  _mm512_storeu_si512(lanes + 8, high);
  return _mm512_loadu_si512(lanes + first);
}

/// Those of the lanes of `mask` where `a` comes before `b`, is the same, or comes after.
static inline uint8_t vz_emulated_compare(uint8_t mask, __m512i a, __m512i b, bool before, bool same, bool after) {
  uint64_t x[8], y[8];
  uint8_t result = 0;
  _mm512_storeu_si512(x, a);
  _mm512_storeu_si512(y, b);
  for (int i = 0; i < 8; i++) {
    bool is = x[i] < y[i] ? before : x[i] == y[i] ? same : after;
    result |= (uint8_t)(is << i);
  }
  return result & mask;
}

static inline uint8_t vz_emulated_testn_entries(__m512i a, __m512i b) {
  uint64_t x[8], y[8];
  uint8_t result = 0;
  _mm512_storeu_si512(x, a);
  _mm512_storeu_si512(y, b);
  for (int i = 0; i < 8; i++) result |= (uint8_t)(((x[i] & y[i]) == 0) << i);
  return result;
}

static inline uint64_t vz_emulated_reduce_min(__m512i v) {
  uint64_t lanes[8], least = UINT64_MAX;
  _mm512_storeu_si512(lanes, v);
  for (int i = 0; i < 8; i++) least = lanes[i] < least ? lanes[i] : least;
  return least;
}

#undef _mm512_mask_cmpge_epu64_mask
#undef _mm512_mask_cmple_epu64_mask
#undef _mm512_testn_epi64_mask
#define _mm512_mask_loadu_epi64 vz_emulated_loadu_entries
#define _mm512_alignr_epi64 vz_emulated_alignr
#define _mm512_cmplt_epu64_mask(a, b) vz_emulated_compare(0xFF, a, b, true, false, false)
#define _mm512_cmpneq_epu64_mask(a, b) vz_emulated_compare(0xFF, a, b, true, false, true)
#define _mm512_mask_cmpge_epu64_mask(mask, a, b) vz_emulated_compare(mask, a, b, false, true, true)
#define _mm512_mask_cmple_epu64_mask(mask, a, b) vz_emulated_compare(mask, a, b, true, true, false)
#define _mm512_testn_epi64_mask vz_emulated_testn_entries
#define _mm512_reduce_min_epu64 vz_emulated_reduce_min
