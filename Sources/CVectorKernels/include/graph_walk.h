// A walk through the graph as C sees it: what was visited, what was met, and a hop from one node to the next.
//
// What the structures mean stands in VisitedSet.swift, NearestList.swift and Frontier.swift, which own them; here is what a
// hop reads and writes of them.
//
// May use: vector_kernels.h.
#pragma once

#include "vector_kernels.h"

#if defined(__clang__)
#pragma clang assume_nonnull begin
#endif

/// The slots that a walk has met: a bit each, and a list of them in the order they came, by which the bits are cleared
/// without looking at all of them.
typedef struct vz_visited {
  uint64_t *bits;
  /// Slots there are bits for. Others count as met: they came into being after the walk began.
  uint32_t slots;
  /// [VZ_LOG_ROOM]. When it is full it begins anew, and `overflows` says so. What was added last, and the two
  /// batches before, stay where they are.
  uint32_t *log;
  size_t log_count;
  bool overflows;
} vz_visited;

/// The most links of a node, and what the log holds before it begins anew. Hops write in steps of 16.
enum {
  VZ_DEGREE_MAX = 128,
  VZ_KEPT_MAX = VZ_DEGREE_MAX + 16,
  VZ_LOG_MAX = 16384,
  VZ_LOG_ROOM = VZ_LOG_MAX + VZ_KEPT_MAX
};

/// A slot at a distance, as a number that orders as the distances do, then as the slots. What is not a number is infinitely far.
static inline uint64_t vz_candidate(float distance, uint32_t slot) {
  union {
    float number;
    uint32_t bits;
  } as = {distance == distance ? distance : __builtin_inff()};
  return (uint64_t)(as.bits ^ ((uint32_t)((int32_t)as.bits >> 31) | 0x80000000u)) << 32 | slot;
}

/// Adds `slot`; false when it was there.
static inline bool vz_visit(vz_visited *visited, uint32_t slot) {
  if (slot >= visited->slots) return false;
  uint64_t *word = visited->bits + (slot >> 6), bit = (uint64_t)1 << (slot & 63);
  bool is_new = !(*word & bit);
  *word |= bit;
  if (visited->log_count >= VZ_LOG_MAX) visited->log_count = 0, visited->overflows = true;
  visited->log[visited->log_count] = slot;
  visited->log_count += is_new;
  return is_new;
}

/// What the queues' arrays have room for. Hops write in steps, so that each array has room for VZ_QUEUE_STEP more.
enum { VZ_HEAD_MAX = 16, VZ_NEAR_MAX = 512, VZ_QUEUE_STEP = 64 };

/// The nearest candidates, ascending.
typedef struct vz_nearest {
  /// [room]: where they are, and where they can be moved to. Aligned to 64 bytes.
  uint64_t *entries, *spare;
  /// `ties`: those that are as far as the one before them, where they count as one with it, and else 0.
  size_t count, room, ties;
  /// The last entry where there is no more room, and else beyond all.
  uint64_t bound;
  /// Whether something was, or could have been, left out.
  bool has_been_full;
} vz_nearest;

/// The candidates that were not expanded: a sorted head, which is before the near part, which is before the far one.
typedef struct vz_frontier {
  /// [2 * VZ_HEAD_MAX]: ascending from `head_first` on, VZ_HEAD_MAX at most.
  uint64_t *head;
  size_t head_first, head_count;
  /// [VZ_NEAR_MAX], in no order: at least `near_least` and below `pivot`.
  uint64_t *near;
  size_t near_count;
  uint64_t near_least, pivot;
  /// [far_max], in no order: at least `pivot`. `far_max` is 0 once there were others behind them.
  uint64_t *far;
  size_t far_count, far_max;
} vz_frontier;

/// Both, and where links are.
typedef struct vz_queues {
  vz_nearest *nearest;
  vz_frontier *frontier;
  /// [slot][link_bytes]: the links of all nodes. NULL = they are not to be asked for.
  const void *VZ_NULLABLE links;
  size_t link_bytes;
  /// Written: whether the links of what is nearest were asked for.
  bool has_asked;
} vz_queues;

/// A hop of a walk in one call: scores the rows of `ready` and keeps those below `bound`, as `vz_score_below` does; takes
/// what it kept into the queues, where it can, and asks for the links of what is nearest then; takes those of a node's links
/// that were not visited, marks them as visited and asks for their rows.
///
/// - ready: VZ_DEGREE_MAX at most.
/// - kept: written: `vz_candidate` of each that was kept and not taken, in the order of `ready`. Room for VZ_KEPT_MAX,
///   whatever is kept.
/// - links: [degree], at most VZ_DEGREE_MAX, whole lines of 64 bytes, aligned; ended by UINT32_MAX if there are fewer.
///   Writers may store other slots meanwhile. NULL = no node.
/// - gathered: written; the batch lies in the log, and the one before it stays valid, too.
/// - queues: NULL = nothing is taken. Nor is what is as far as one of the nearest, and so may be its copy; what else is near
///   enough may be left with it. Nothing is taken where an array is full, the list very long, where the bound of the nearest is not their last,
///   and by a table that has no way to.
///
/// Returns how many are left for the caller to take.
static inline size_t vz_hop(const vz_plane *plane, const vz_query *query, vz_batch ready, float bound, uint64_t *kept,
                            const uint32_t *VZ_NULLABLE links, size_t degree, vz_visited *visited, vz_batch *gathered,
                            vz_queues *VZ_NULLABLE queues) {
  return plane->hop(plane, query, ready, bound, kept, links, degree, visited, gathered, queues);
}

/// The hop of every table that has none of its own. Takes no candidates.
size_t vz_hop_plain(const vz_plane *plane, const vz_query *query, vz_batch ready, float bound, uint64_t *kept,
                    const uint32_t *VZ_NULLABLE links, size_t degree, vz_visited *visited, vz_batch *gathered,
                    vz_queues *VZ_NULLABLE queues);

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif
