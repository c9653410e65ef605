// From a kernel's sums to distances, and to the few of them that a search wants. The same on every CPU.
//
// No branch depends on a distance: half of them pass, and a processor cannot guess which.

#include "vector_kernels.h"

static inline float finished(const vz_query *query, const float *side, float sum) {
  return side[0] * (query->factor * sum + query->shift) + (side[1] * query->weight + query->constant);
}

void vz_score(const vz_plane *plane, const vz_query *query, const uint32_t *slots, size_t count, float *out) {
  plane->sum(query->numbers, plane->rows, plane->width, slots, count, out);
  for (size_t i = 0; i < count; i++) out[i] = finished(query, plane->sides + 2 * (size_t)slots[i], out[i]);
}

void vz_score_range(const vz_plane *plane, const vz_query *query, size_t row_bytes, size_t first, size_t count,
                    float *out) {
  plane->sum(query->numbers, (const char *)plane->rows + first * row_bytes, plane->width, NULL, count, out);
  for (size_t i = 0; i < count; i++) out[i] = finished(query, plane->sides + 2 * (first + i), out[i]);
}

size_t vz_score_below(const vz_plane *plane, const vz_query *query, uint32_t *slots, size_t count, float bound,
                      float *out) {
  plane->sum(query->numbers, plane->rows, plane->width, slots, count, out);
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t slot = slots[i];
    float distance = finished(query, plane->sides + 2 * (size_t)slot, out[i]);
    slots[kept] = slot;
    out[kept] = distance;
    kept += !(distance >= bound);
  }
  return kept;
}
