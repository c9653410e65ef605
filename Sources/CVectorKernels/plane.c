// Scoring the rows of a plane: a kernel's sums, and what makes distances of them.

#include "scoring.h"

void vz_score(const vz_plane *plane, const vz_query *query, const uint32_t *slots, size_t count, float *out) {
  vz_finisher f = vz_finisher_of(plane, query);
  plane->sum(query->numbers, plane->rows, plane->width, slots, count, out);
  for (size_t i = 0; i < count; i++) out[i] = vz_finished(f, f.biases != NULL, slots[i], out[i]);
}

void vz_score_range(const vz_plane *plane, const vz_query *query, size_t first, size_t count, float *out) {
  vz_finisher f = vz_finisher_of(plane, query);
  plane->sum(query->numbers, (const char *)plane->rows + first * plane->row_bytes, plane->width, NULL, count, out);
  for (size_t i = 0; i < count; i++) out[i] = vz_finished(f, f.biases != NULL, first + i, out[i]);
}

size_t vz_score_below(const vz_plane *plane, const vz_query *query, const uint32_t *slots, size_t count, float bound,
                      uint32_t *kept, float *out) {
  return vz_score_and_keep(plane, query, slots, count, bound, kept, out);
}
