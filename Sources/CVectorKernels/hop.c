// A hop of a walk through the graph: one crossing from Swift into C.
//
// What a walk does between two sums is as dear as the sums, where rows are codes of 4 bits: so it is here, beside them.
//
// May use: scoring.h, gathering.h.

#include "gathering.h"
#include "scoring.h"

size_t vz_hop_plain(const vz_plane *plane, const vz_query *query, vz_batch ready, float bound, uint64_t *kept,
                    const uint32_t *links, size_t degree, vz_visited *visited, vz_batch *gathered,
                    vz_queues *queues) {
  // Where the queues are not vectors, Swift is as quick.
  if (queues) queues->has_asked = false;
  size_t n = 0;
  if (ready.count > 0) {
    float distances[VZ_DEGREE_MAX];
    uint32_t slots[VZ_DEGREE_MAX];
    n = vz_score_and_keep(plane, query, ready.slots, ready.count, bound, slots, distances);
    for (size_t i = 0; i < n; i++) kept[i] = vz_candidate(distances[i], slots[i]);
  }
  *gathered = vz_gather(plane, links, degree, visited);
  return n;
}
