// The kernels with NEON, which every arm64 CPU has: four floats, or 16 bytes, a vector. Two tables, which differ in the
// integer kernels: "neondot" multiplies and adds bytes in one instruction, which CPUs have since Armv8.2 or 8.4.
//
// May use: <arm_neon.h>, under a target attribute where it goes beyond the baseline.

#include "row_loops.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#define NEON
#define DOT VZ_TARGET("arch=armv8.2-a+dotprod")

typedef float32x4x4_t sixteen;

static inline sixteen load_f32(const void *numbers) { return vld1q_f32_x4(numbers); }

static inline sixteen load_f16(const void *numbers) {
  const uint16_t *n = numbers;
  float16x8_t a = vreinterpretq_f16_u16(vld1q_u16(n)), b = vreinterpretq_f16_u16(vld1q_u16(n + 8));
  return (sixteen){{vcvt_f32_f16(vget_low_f16(a)), vcvt_high_f32_f16(a), vcvt_f32_f16(vget_low_f16(b)),
                    vcvt_high_f32_f16(b)}};
}

static inline sixteen load_int8(const void *numbers) {
  int8x16_t bytes = vld1q_s8(numbers);
  int16x8_t a = vmovl_s8(vget_low_s8(bytes)), b = vmovl_high_s8(bytes);
  return (sixteen){{vcvtq_f32_s32(vmovl_s16(vget_low_s16(a))), vcvtq_f32_s32(vmovl_high_s16(a)),
                    vcvtq_f32_s32(vmovl_s16(vget_low_s16(b))), vcvtq_f32_s32(vmovl_high_s16(b))}};
}

// Four sums a row, 16 for four rows, hide the latency of FMA: 4 cycles, up to four a cycle.
typedef sixteen float_sums;

static inline float_sums no_floats(void) {
  return (float_sums){{vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)}};
}

static inline float_sums add_product(float_sums sum, sixteen q, sixteen r) {
  for (size_t k = 0; k < 4; k++) sum.val[k] = vfmaq_f32(sum.val[k], q.val[k], r.val[k]);
  return sum;
}

static inline float_sums add_square(float_sums sum, sixteen q, sixteen r) {
  for (size_t k = 0; k < 4; k++) q.val[k] = vsubq_f32(q.val[k], r.val[k]);
  return add_product(sum, q, q);
}

static inline float32x4_t joined(float_sums sum) {
  return vaddq_f32(vaddq_f32(sum.val[0], sum.val[1]), vaddq_f32(sum.val[2], sum.val[3]));
}

static inline void store_floats(const float_sums sums[4], float *out) {
  float32x4_t s01 = vpaddq_f32(joined(sums[0]), joined(sums[1]));
  float32x4_t s23 = vpaddq_f32(joined(sums[2]), joined(sums[3]));
  vst1q_f32(out, vpaddq_f32(s01, s23));
}

VZ_FLOAT_KERNEL(NEON, f32_product, add_product, load_f32, 4)
VZ_FLOAT_KERNEL(NEON, f32_squared_l2, add_square, load_f32, 4)
VZ_FLOAT_KERNEL(NEON, f16_product, add_product, load_f16, 2)
VZ_FLOAT_KERNEL(NEON, f32_int8_product, add_product, load_int8, 1)

static inline void store_sixteen(float *out, sixteen numbers) { vst1q_f32_x4(out, numbers); }

VZ_WIDEN(NEON, f16_widen, load_f16)

typedef int32x4_t integers;

static inline integers no_integers(void) { return vdupq_n_s32(0); }

static inline void store_integers(const integers s[4], float *out) {
  vst1q_f32(out, vcvtq_f32_s32(vpaddq_s32(vpaddq_s32(s[0], s[1]), vpaddq_s32(s[2], s[3]))));
}

static inline int8x16_t load(const void *bytes) { return vld1q_s8(bytes); }
static inline int8x16_t low_numbers(int8x16_t row) { return vandq_s8(row, vdupq_n_s8(15)); }

static inline int8x16_t high_numbers(int8x16_t row) {
  return vreinterpretq_s8_u8(vshrq_n_u8(vreinterpretq_u8_s8(row), 4));
}

// Two products are at most 2 * 127^2 = 32,258 and fit 16 bits; more would not, so they are widened at once.
static inline integers add_line_int8(integers sum, const int8_t *query, const char *row) {
  for (size_t j = 0; j < 64; j += 16) {
    int8x16_t q = load(query + j), r = load(row + j);
    sum = vpadalq_s16(sum, vmlal_high_s8(vmull_s8(vget_low_s8(q), vget_low_s8(r)), q, r));
  }
  return sum;
}

// Sixteen products, each at most 15 * 127, are 30,480: a line fits 16 bits.
static inline integers add_line_int4(integers sum, const int8_t *query, const char *row) {
  int16x8_t products = vdupq_n_s16(0);
  for (size_t j = 0; j < 64; j += 16) {
    int8x16_t r = load(row + j), low = low_numbers(r), high = high_numbers(r);
    int8x16_t q0 = load(query + j), q1 = load(query + 64 + j);
    products = vmlal_high_s8(vmlal_s8(products, vget_low_s8(low), vget_low_s8(q0)), low, q0);
    products = vmlal_high_s8(vmlal_s8(products, vget_low_s8(high), vget_low_s8(q1)), high, q1);
  }
  return vpadalq_s16(sum, products);
}

VZ_INTEGER_KERNEL(NEON, int8_product, add_line_int8, 64)
VZ_INTEGER_KERNEL(NEON, int4_product, add_line_int4, 128)

DOT static inline integers add_line_int8_dot(integers sum, const int8_t *query, const char *row) {
  for (size_t j = 0; j < 64; j += 16) sum = vdotq_s32(sum, load(query + j), load(row + j));
  return sum;
}

DOT static inline integers add_line_int4_dot(integers sum, const int8_t *query, const char *row) {
  for (size_t j = 0; j < 64; j += 16) {
    int8x16_t r = load(row + j);
    sum = vdotq_s32(sum, low_numbers(r), load(query + j));
    sum = vdotq_s32(sum, high_numbers(r), load(query + 64 + j));
  }
  return sum;
}

VZ_INTEGER_KERNEL(DOT, int8_product_dot, add_line_int8_dot, 64)
VZ_INTEGER_KERNEL(DOT, int4_product_dot, add_line_int4_dot, 128)

const vz_kernels vz_kernels_neon = {
    .name = "neon",
    .f32_product = f32_product,
    .f32_squared_l2 = f32_squared_l2,
    .f16_product = f16_product,
    .int8_product = int8_product,
    .f32_int8_product = f32_int8_product,
    .int4_product = int4_product,
    .f16_widen = f16_widen,
    .hop = vz_hop_plain,
};

const vz_kernels vz_kernels_neondot = {
    .name = "neondot",
    .f32_product = f32_product,
    .f32_squared_l2 = f32_squared_l2,
    .f16_product = f16_product,
    .int8_product = int8_product_dot,
    .f32_int8_product = f32_int8_product,
    .int4_product = int4_product_dot,
    .f16_widen = f16_widen,
    .hop = vz_hop_plain,
};
#endif
