// The kernels in plain C: the last resort of the dispatch and the slow twin of the others.
//
// May use: nothing but the standard library.

#include <string.h>

#include "kernels_internal.h"

/// An IEEE half as a float, by the book: every half is a float.
static float float_of_half(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = (half >> 10) & 0x1F, fraction = half & 0x3FF, bits;
  float value;
  if (exponent == 0) {
    value = (float)fraction * 0x1p-24f;
    return sign ? -value : value;
  }
  bits = sign | (exponent == 31 ? 0x7F800000u : (exponent + 112) << 23) | fraction << 13;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static void f32_product(const void *query, const void *rows, size_t width, const uint32_t *slots, size_t count,
                        float *out) {
  const float *q = query;
  for (size_t i = 0; i < count; i++) {
    const float *row = vz_row(rows, width * 4, slots, i);
    float sum = 0;
    for (size_t j = 0; j < width; j++) sum += q[j] * row[j];
    out[i] = sum;
  }
}

static void f32_squared_l2(const void *query, const void *rows, size_t width, const uint32_t *slots, size_t count,
                           float *out) {
  const float *q = query;
  for (size_t i = 0; i < count; i++) {
    const float *row = vz_row(rows, width * 4, slots, i);
    float sum = 0;
    for (size_t j = 0; j < width; j++) {
      float difference = q[j] - row[j];
      sum += difference * difference;
    }
    out[i] = sum;
  }
}

static void f16_product(const void *query, const void *rows, size_t width, const uint32_t *slots, size_t count,
                        float *out) {
  const float *q = query;
  for (size_t i = 0; i < count; i++) {
    const uint16_t *row = vz_row(rows, width * 2, slots, i);
    float sum = 0;
    for (size_t j = 0; j < width; j++) sum += q[j] * float_of_half(row[j]);
    out[i] = sum;
  }
}

static void int8_product(const void *query, const void *rows, size_t width, const uint32_t *slots, size_t count,
                         float *out) {
  const int8_t *q = query;
  for (size_t i = 0; i < count; i++) {
    const int8_t *row = vz_row(rows, width, slots, i);
    int32_t sum = 0;
    for (size_t j = 0; j < width; j++) sum += q[j] * row[j];
    out[i] = (float)sum;
  }
}

static void f32_int8_product(const void *query, const void *rows, size_t width, const uint32_t *slots, size_t count,
                             float *out) {
  const float *q = query;
  for (size_t i = 0; i < count; i++) {
    const int8_t *row = vz_row(rows, width, slots, i);
    float sum = 0;
    for (size_t j = 0; j < width; j++) sum += q[j] * (float)row[j];
    out[i] = sum;
  }
}

static void int4_product(const void *query, const void *rows, size_t width, const uint32_t *slots, size_t count,
                         float *out) {
  const int8_t *q = query;
  for (size_t i = 0; i < count; i++) {
    const uint8_t *row = vz_row(rows, width / 2, slots, i);
    int32_t sum = 0;
    for (size_t n = 0; n < width; n += 128) {
      for (size_t b = 0; b < 64; b++) {
        uint8_t pair = row[n / 2 + b];
        sum += q[n + b] * (pair & 15) + q[n + 64 + b] * (pair >> 4);
      }
    }
    out[i] = (float)sum;
  }
}

static void f16_widen(const void *row, size_t width, float *out) {
  const uint16_t *halves = row;
  for (size_t j = 0; j < width; j++) out[j] = float_of_half(halves[j]);
}

const vz_kernels vz_kernels_scalar = {
    .name = "scalar",
    .f32_product = f32_product,
    .f32_squared_l2 = f32_squared_l2,
    .f16_product = f16_product,
    .int8_product = int8_product,
    .f32_int8_product = f32_int8_product,
    .int4_product = int4_product,
    .f16_widen = f16_widen,
    .hop = vz_hop_plain,
};
