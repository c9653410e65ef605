// Scoring the rows of a plane: a kernel's sums, and what makes distances of them.
//
// May use: scoring.h.

#include "scoring.h"

/// - slots: NULL = the rows from `first` on.
static inline void finish(vz_finisher f, bool biased, const uint32_t *slots, size_t first, size_t count, float *out) {
  for (size_t i = 0; i < count; i++) out[i] = vz_finished(f, biased, slots ? slots[i] : first + i, out[i]);
}

static inline void finish_all(vz_finisher f, const uint32_t *slots, size_t first, size_t count, float *out) {
  if (f.biases)
    finish(f, true, slots, first, count, out);
  else
    finish(f, false, slots, first, count, out);
}

void vz_score(const vz_plane *plane, const vz_query *query, const uint32_t *slots, size_t count, float *out) {
  vz_finisher f = vz_finisher_of(plane, query);
  plane->sum(query->numbers, plane->rows, plane->width, slots, count, out);
  finish_all(f, slots, 0, count, out);
}

void vz_score_range(const vz_plane *plane, const vz_query *query, size_t first, size_t count, float *out) {
  vz_finisher f = vz_finisher_of(plane, query);
  plane->sum(query->numbers, (const char *)plane->rows + first * plane->row_bytes, plane->width, NULL, count, out);
  finish_all(f, NULL, first, count, out);
}

size_t vz_score_below(const vz_plane *plane, const vz_query *query, const uint32_t *slots, size_t count, float bound,
                      uint32_t *kept, float *out) {
  return vz_score_and_keep(plane, query, slots, count, bound, kept, out);
}
