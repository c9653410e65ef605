// From a kernel's sums to distances, and to the few of them that a search wants. The same on every CPU, but for hop_avx512.c,
// which gives the same bits.
//
// No branch depends on a distance: half of them pass, and a processor cannot guess which.
//
// May use: vector_kernels.h.
#pragma once

#include "vector_kernels.h"

/// Copies of what a loop reads again and again: `out` might overlap the originals, for all a compiler knows.
typedef struct vz_finisher {
  const float *scales, *biases;
  size_t stride;
  float factor, shift, weight, constant;
} vz_finisher;

static inline vz_finisher vz_finisher_of(const vz_plane *plane, const vz_query *query) {
  return (vz_finisher){plane->scales,  plane->biases, plane->side_stride, query->factor,
                       query->shift, query->weight, query->constant};
}

/// `biased` is a constant wherever this is expanded, and the expression is one: a compiler that fuses multiplications and additions
/// fuses the same ones everywhere, so that a row has the same distance however it is scored.
static inline float vz_finished(vz_finisher f, bool biased, size_t slot, float sum) {
  float rest = biased ? f.biases[slot * f.stride] * f.weight + f.constant : f.constant;
  return f.scales[slot * f.stride] * (f.factor * sum + f.shift) + rest;
}

static inline size_t vz_keep_below(vz_finisher f, bool biased, const uint32_t *slots, size_t count, float bound,
                                   uint32_t *kept, float *out) {
  size_t n = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t slot = slots[i];
    float distance = vz_finished(f, biased, slot, out[i]);
    kept[n] = slot;
    out[n] = distance;
    n += !(distance >= bound);
  }
  return n;
}

static inline size_t vz_score_and_keep(const vz_plane *plane, const vz_query *query, const uint32_t *slots,
                                       size_t count, float bound, uint32_t *kept, float *out) {
  vz_finisher f = vz_finisher_of(plane, query);
  plane->sum(query->numbers, plane->rows, plane->width, slots, count, out);
  return f.biases ? vz_keep_below(f, true, slots, count, bound, kept, out)
                  : vz_keep_below(f, false, slots, count, bound, kept, out);
}
