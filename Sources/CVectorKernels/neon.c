// The kernels with NEON, which every arm64 CPU has: the shape of avx2.c with 16-byte loads.
//
// May use: <arm_neon.h>.

#include "kernels_internal.h"

#if defined(__aarch64__)
#include <arm_neon.h>

static inline float32x4_t step_inner_product(float32x4_t sum, float32x4_t q, float32x4_t r) { return vfmaq_f32(sum, q, r); }

static inline float32x4_t step_squared_l2(float32x4_t sum, float32x4_t q, float32x4_t r) {
  float32x4_t difference = vsubq_f32(q, r);
  return vfmaq_f32(sum, difference, difference);
}

#define VZ_DEFINE(name, STEP)                                                                                         \
  static void name(const float *query, const float *rows, size_t width, const uint32_t *slots, size_t count,          \
                   float *out) {                                                                                      \
    size_t i = 0;                                                                                                     \
    for (; i + 4 <= count; i += 4) {                                                                                  \
      const float *row[4], *next[4];                                                                                  \
      float32x4_t sum[4][2];                                                                                          \
      for (size_t r = 0; r < 4; r++) {                                                                                \
        size_t n = i + 4 + r;                                                                                         \
        row[r] = vz_row(rows, width, slots, i + r);                                                                   \
        next[r] = vz_row(rows, width, slots, n < count ? n : count - 1);                                              \
        sum[r][0] = sum[r][1] = vdupq_n_f32(0);                                                                       \
      }                                                                                                               \
      for (size_t j = 0; j < width; j += 16) {                                                                        \
        float32x4_t q0 = vld1q_f32(query + j), q1 = vld1q_f32(query + j + 4);                                         \
        float32x4_t q2 = vld1q_f32(query + j + 8), q3 = vld1q_f32(query + j + 12);                                    \
        for (size_t r = 0; r < 4; r++) {                                                                              \
          __builtin_prefetch(next[r] + j);                                                                            \
          sum[r][0] = STEP(sum[r][0], q0, vld1q_f32(row[r] + j));                                                     \
          sum[r][1] = STEP(sum[r][1], q1, vld1q_f32(row[r] + j + 4));                                                 \
          sum[r][0] = STEP(sum[r][0], q2, vld1q_f32(row[r] + j + 8));                                                 \
          sum[r][1] = STEP(sum[r][1], q3, vld1q_f32(row[r] + j + 12));                                                \
        }                                                                                                             \
      }                                                                                                               \
      for (size_t r = 0; r < 4; r++) out[i + r] = vaddvq_f32(vaddq_f32(sum[r][0], sum[r][1]));                        \
    }                                                                                                                 \
    for (; i < count; i++) {                                                                                          \
      const float *row = vz_row(rows, width, slots, i);                                                               \
      float32x4_t s0 = vdupq_n_f32(0), s1 = s0;                                                                       \
      for (size_t j = 0; j < width; j += 8) {                                                                         \
        s0 = STEP(s0, vld1q_f32(query + j), vld1q_f32(row + j));                                                      \
        s1 = STEP(s1, vld1q_f32(query + j + 4), vld1q_f32(row + j + 4));                                              \
      }                                                                                                               \
      out[i] = vaddvq_f32(vaddq_f32(s0, s1));                                                                         \
    }                                                                                                                 \
  }

VZ_DEFINE(inner_product, step_inner_product)
VZ_DEFINE(squared_l2, step_squared_l2)

const vz_kernels vz_kernels_neon = {"neon", inner_product, squared_l2};
#endif
