// From a kernel's sums to distances, and to the few of them that a search wants. The same on every CPU.
//
// No branch depends on a distance: half of them pass, and a processor cannot guess which.

#include "vector_kernels.h"

/// Copies of what a loop reads again and again: `out` might overlap the originals, for all a compiler knows.
typedef struct finisher {
  const float *sides;
  float factor, shift, weight, constant;
} finisher;

static inline finisher finisher_of(const vz_plane *plane, const vz_query *query) {
  return (finisher){plane->sides, query->factor, query->shift, query->weight, query->constant};
}

static inline float finished(finisher f, size_t slot, float sum) {
  const float *side = f.sides + 2 * slot;
  return side[0] * (f.factor * sum + f.shift) + (side[1] * f.weight + f.constant);
}

void vz_score(const vz_plane *plane, const vz_query *query, const uint32_t *slots, size_t count, float *out) {
  finisher f = finisher_of(plane, query);
  plane->sum(query->numbers, plane->rows, plane->width, slots, count, out);
  for (size_t i = 0; i < count; i++) out[i] = finished(f, slots[i], out[i]);
}

void vz_score_range(const vz_plane *plane, const vz_query *query, size_t row_bytes, size_t first, size_t count,
                    float *out) {
  finisher f = finisher_of(plane, query);
  plane->sum(query->numbers, (const char *)plane->rows + first * row_bytes, plane->width, NULL, count, out);
  for (size_t i = 0; i < count; i++) out[i] = finished(f, first + i, out[i]);
}

size_t vz_score_below(const vz_plane *plane, const vz_query *query, uint32_t *slots, size_t count, float bound,
                      float *out) {
  finisher f = finisher_of(plane, query);
  plane->sum(query->numbers, plane->rows, plane->width, slots, count, out);
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t slot = slots[i];
    float distance = finished(f, slot, out[i]);
    slots[kept] = slot;
    out[kept] = distance;
    kept += !(distance >= bound);
  }
  return kept;
}
