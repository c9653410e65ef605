// A hop of a walk through the graph: one crossing from Swift into C.
//
// What a walk does between two sums is as dear as the sums, where rows are codes of 4 bits: so it is here, beside them,
// and without a branch on what a processor cannot guess (whether a node was met before, whether a row is near).
//
// May use: scoring.h.

#include "scoring.h"

/// Takes the links that were not visited into the log.
static inline size_t gather(const uint32_t *links, size_t degree, vz_visited *visited) {
  uint64_t *bits = visited->bits;
  uint32_t *out = visited->log + visited->log_count, slots = visited->slots;
  size_t count = 0;
  for (size_t i = 0; i < degree; i++) {
    // Pairs with the releasing stores of those who change links (Graph.swift): what the slot holds is there.
    uint32_t slot = __atomic_load_n(links + i, __ATOMIC_ACQUIRE);
    // The end of the links is beyond all slots, and so is a slot that came into being after the walk began.
    if (slot >= slots) {
      if (slot == UINT32_MAX) break;
      continue;
    }
    uint64_t word = bits[slot >> 6], bit = (uint64_t)1 << (slot & 63);
    bits[slot >> 6] = word | bit;
    out[count] = slot;
    count += !(word & bit);
  }
  return count;
}

size_t vz_hop_plain(const vz_plane *plane, const vz_query *query, vz_batch ready, float bound, uint64_t *kept,
                    const uint32_t *links, size_t degree, vz_visited *visited, vz_batch *gathered) {
  size_t n = 0;
  if (ready.count > 0) {
    float distances[VZ_DEGREE_MAX];
    uint32_t slots[VZ_DEGREE_MAX];
    n = vz_score_and_keep(plane, query, ready.slots, ready.count, bound, slots, distances);
    for (size_t i = 0; i < n; i++) kept[i] = vz_candidate(distances[i], slots[i]);
  }
  vz_batch batch = vz_next_batch(visited);
  if (links) {
    batch.count = gather(links, degree, visited);
    visited->log_count += batch.count;
    for (size_t i = 0; i < batch.count; i++) vz_prefetch_row(plane, batch.slots[i]);
  }
  *gathered = batch;
  return n;
}
