// What a hop does with the links of a node. The same on every CPU: looking sixteen links up at once with AVX-512 gains
// nothing (Zen 5), since each lane of a gather is a load all the same.
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

/// Moves the links that were not visited to `out`; returns how many. Only looks: a look at a word that a store just before
/// may have changed waits for that store, and half of the links were visited.
static inline size_t vz_find_unvisited(const uint32_t *links, size_t degree, const vz_visited *visited, uint32_t *out) {
  const uint64_t *bits = visited->bits;
  uint32_t slots = visited->slots;
  size_t count = 0;
  for (size_t i = 0; i < degree; i++) {
    // Pairs with the releasing stores of those who change links (Graph.swift): what the slot holds is there.
    uint32_t slot = __atomic_load_n(links + i, __ATOMIC_ACQUIRE);
    // The end of the links is beyond all slots, and so is a slot that came into being after the walk began.
    if (slot >= slots) {
      if (slot == UINT32_MAX) break;
      continue;
    }
    out[count] = slot;
    count += !(bits[slot >> 6] >> (slot & 63) & 1);
  }
  return count;
}

/// Asks for the rows of `slots` and marks them as visited; returns how many there are without those that stand there twice,
/// as links may while a writer moves them. `lines` and `asks_beside` are constants for the rows of most indexes (below).
static inline __attribute__((always_inline)) size_t vz_ask_and_mark(const vz_plane *plane, uint32_t *slots, size_t count,
                                                                    uint64_t *bits, size_t lines, bool asks_beside) {
  const char *rows = plane->rows;
  size_t marked = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t slot = slots[i];
    const char *row = rows + slot * (lines * 64);
    for (size_t l = 0; l < lines; l++) vz_prefetch(row + l * 64);
    if (asks_beside) vz_prefetch(plane->scales + slot * plane->side_stride);
    uint64_t word = bits[slot >> 6], bit = (uint64_t)1 << (slot & 63);
    bits[slot >> 6] = word | bit;
    slots[marked] = slot;
    marked += !(word & bit);
  }
  return marked;
}

/// Takes the links that were not visited into the log, and asks for their rows.
static inline vz_batch vz_gather(const vz_plane *plane, const uint32_t *links, size_t degree, vz_visited *visited) {
  vz_batch batch = vz_next_batch(visited);
  if (!links) return batch;
  uint64_t *bits = visited->bits;
  uint32_t *out = visited->log + visited->log_count;
  size_t count = vz_find_unvisited(links, degree, visited, out);
  bool is_beside_cached = visited->slots * plane->side_stride <= VZ_BESIDE_CACHED_MAX;
  // Rows of 384 numbers of 4 bits, of 8 and of 16.
  switch (plane->row_bytes) {
  case 3 * 64:
    if (is_beside_cached) count = vz_ask_and_mark(plane, out, count, bits, 3, false);
    else count = vz_ask_and_mark(plane, out, count, bits, 3, true);
    break;
  case 6 * 64: count = vz_ask_and_mark(plane, out, count, bits, 6, true); break;
  case 12 * 64: count = vz_ask_and_mark(plane, out, count, bits, 12, true); break;
  default: count = vz_ask_and_mark(plane, out, count, bits, plane->row_bytes / 64, true);
  }
  visited->log_count += count;
  batch.count = count;
  return batch;
}
