// What a hop does with the links of a node. The same on every CPU: looking sixteen links up at once with AVX-512 took twice
// as long as one after the other (Zen 5), since each lane of a gather is a load all the same.
//
// No branch depends on whether a node was met before: a processor cannot guess it.
//
// May use: graph_walk.h.
#pragma once

#include "graph_walk.h"

/// Where the next batch goes. The batches before it lie at the log's end when it begins anew.
static inline vz_batch vz_next_batch(vz_visited *visited) {
  if (visited->log_count >= VZ_LOG_MAX) visited->log_count = 0, visited->overflows = true;
  return (vz_batch){visited->log + visited->log_count, 0};
}

/// Four bytes a slot: what stands beside so many rows stays in a second-level cache by itself.
enum { VZ_BESIDE_CACHED_MAX = 1 << 17 };

/// `lines` and `asks_beside` are constants wherever this is expanded.
static inline __attribute__((always_inline)) void vz_ask(const vz_plane *plane, vz_batch batch, size_t lines,
                                                         bool asks_beside) {
  const char *rows = plane->rows;
  for (size_t i = 0; i < batch.count; i++) {
    const char *row = rows + batch.slots[i] * (lines * 64);
    for (size_t l = 0; l < lines; l++) vz_prefetch(row + l * 64);
    if (asks_beside) vz_prefetch(plane->scales + batch.slots[i] * plane->side_stride);
  }
}

/// Takes the links that were not visited into the log, and asks for their rows.
static inline vz_batch vz_gather(const vz_plane *plane, const uint32_t *links, size_t degree, vz_visited *visited) {
  vz_batch batch = vz_next_batch(visited);
  if (!links) return batch;
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
  visited->log_count += count;
  batch.count = count;
  bool is_beside_cached = slots * plane->side_stride <= VZ_BESIDE_CACHED_MAX;
  // Rows of 384 numbers of 4 bits, of 8 and of 16.
  switch (plane->row_bytes) {
  case 3 * 64:
    if (is_beside_cached) vz_ask(plane, batch, 3, false);
    else vz_ask(plane, batch, 3, true);
    break;
  case 6 * 64: vz_ask(plane, batch, 6, true); break;
  case 12 * 64: vz_ask(plane, batch, 12, true); break;
  default:
    for (size_t i = 0; i < count; i++) vz_prefetch_row(plane, batch.slots[i]);
  }
  return batch;
}
