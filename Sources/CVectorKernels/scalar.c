// The kernels in plain C: the last resort of the dispatch and the slow twin of the others.
//
// May use: nothing but the standard library.

#include "kernels_internal.h"

static void inner_product(const float *query, const float *rows, size_t width, const uint32_t *slots, size_t count,
                          float *out) {
  for (size_t i = 0; i < count; i++) {
    const float *row = vz_row(rows, width, slots, i);
    float sum = 0;
    for (size_t j = 0; j < width; j++) sum += query[j] * row[j];
    out[i] = sum;
  }
}

static void squared_l2(const float *query, const float *rows, size_t width, const uint32_t *slots, size_t count,
                       float *out) {
  for (size_t i = 0; i < count; i++) {
    const float *row = vz_row(rows, width, slots, i);
    float sum = 0;
    for (size_t j = 0; j < width; j++) {
      float difference = query[j] - row[j];
      sum += difference * difference;
    }
    out[i] = sum;
  }
}

const vz_kernels vz_kernels_scalar = {"scalar", inner_product, squared_l2};
