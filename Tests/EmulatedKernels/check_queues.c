// Queues that take candidates in vectors, against a sorted array and a heap of entries in no order.
//
// May use: checks.h, the kernels' own header.

#include <stdlib.h>
#include <string.h>

#include "../../Sources/CVectorKernels/kernels_internal.h"
#include "checks.h"

#if defined(__x86_64__) || defined(VZ_EMULATE_X86)

enum { FAR_MAX = 700, ALL_MAX = 8192 };

/// What was taken and not taken out again, in no order.
typedef struct {
  uint64_t entries[ALL_MAX];
  size_t count;
} heap;

static uint64_t *entries(size_t count) {
  // Of this size, but for the last line of the cache: a sanitizer sees what is written behind it.
  size_t bytes = (count + VZ_QUEUE_STEP) * sizeof(uint64_t);
  uint64_t *made = aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (!made) abort();
  return made;
}

static int by_size(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static bool is_tie(uint64_t a, uint64_t b) { return (a ^ b) >> 32 == 0; }

static size_t ties(const uint64_t *sorted, size_t count) {
  size_t ties = 0;
  for (size_t i = 1; i < count; i++) ties += is_tie(sorted[i - 1], sorted[i]);
  return ties;
}

/// Whether the frontier holds what the heap holds, each part what belongs there. What is not below the bound may be missing,
/// and leaves the heap, too.
static bool holds(const vz_frontier *frontier, heap *heap, uint64_t bound) {
  static uint64_t held[ALL_MAX];
  if (frontier->head_count > VZ_HEAD_MAX || frontier->near_count > VZ_NEAR_MAX || frontier->far_count > FAR_MAX)
    return false;
  const uint64_t *head = frontier->head + frontier->head_first;
  bool right = frontier->near_least <= frontier->pivot;
  size_t n = 0;
  for (size_t i = 0; i < frontier->head_count; i++) {
    right &= head[i] < frontier->near_least && (i == 0 || head[i - 1] < head[i]);
    held[n++] = head[i];
  }
  for (size_t i = 0; i < frontier->near_count; i++) {
    right &= frontier->near[i] >= frontier->near_least && frontier->near[i] < frontier->pivot;
    held[n++] = frontier->near[i];
  }
  for (size_t i = 0; i < frontier->far_count; i++) {
    right &= frontier->far[i] >= frontier->pivot;
    held[n++] = frontier->far[i];
  }
  qsort(held, n, sizeof *held, by_size);
  qsort(heap->entries, heap->count, sizeof *held, by_size);
  size_t same = 0;
  for (size_t i = 0; i < heap->count; i++) {
    if (same < n && held[same] == heap->entries[i]) same++;
    else right &= heap->entries[i] >= bound;
  }
  memcpy(heap->entries, held, n * sizeof *held);
  heap->count = n;
  return right && same == n;
}

/// Takes the nearest out, as Frontier.swift does.
static bool take_out(vz_frontier *frontier, heap *heap) {
  if (frontier->head_count == 0) return true;
  uint64_t nearest = frontier->head[frontier->head_first++];
  frontier->head_count--;
  size_t least = 0;
  for (size_t i = 1; i < heap->count; i++)
    if (heap->entries[i] < heap->entries[least]) least = i;
  bool right = heap->entries[least] == nearest;
  heap->entries[least] = heap->entries[--heap->count];
  return right;
}

static void release(const vz_queues *queues) {
  free(queues->nearest->entries);
  free(queues->nearest->spare);
  free(queues->frontier->head);
  free(queues->frontier->near);
  free(queues->frontier->far);
}

/// A walk of many hops whose candidates are random.
///
/// - distances: how many different ones there are; few make ties.
/// - begins_tied: whether the list holds ties when it begins, which Swift has put there.
static bool is_walk(size_t room, uint32_t distances, bool begins_tied) {
  static heap heap;
  static uint64_t sorted[ALL_MAX];
  vz_nearest nearest = {entries(room), entries(room), 0, room, 0, UINT64_MAX, false};
  vz_frontier frontier = {entries(2 * VZ_HEAD_MAX), 0,         0, entries(VZ_NEAR_MAX), 0,
                          UINT64_MAX,              UINT64_MAX, entries(FAR_MAX),        0, FAR_MAX};
  // Some begin with a pivot, as after the near part was split.
  if (next() % 2) frontier.pivot = frontier.near_least = (uint64_t)next_below(distances) << 32;
  vz_queues queues = {&nearest, &frontier, NULL, 0, false};
  size_t count_sorted = 0;
  uint32_t slot = 0;
  uint64_t bound = UINT64_MAX;
  bool right = true, has_been_full = false;
  heap.count = 0;
  if (begins_tied) {
    for (; count_sorted < room / 2; slot++) sorted[count_sorted++] = (uint64_t)next_below(distances / 8) << 32 | slot;
    qsort(sorted, count_sorted, sizeof *sorted, by_size);
    memcpy(nearest.entries, sorted, count_sorted * sizeof *sorted);
    nearest.count = count_sorted;
    nearest.ties = ties(sorted, count_sorted);
  }
  for (size_t hop = 0; right && hop < 120; hop++) {
    size_t wanted = next() % 4 ? next_below(9) : next_below(VZ_DEGREE_MAX + 1), count = 0;
    uint64_t came[VZ_DEGREE_MAX], kept[VZ_KEPT_MAX];
    for (size_t i = 0; i < wanted; i++) {
      // Nearer and nearer, as a walk goes, and below the bound.
      uint64_t entry = (uint64_t)(next_below(distances) / (1 + hop / 16)) << 32 | slot++;
      if (entry < bound) came[count++] = entry;
    }
    memcpy(kept, came, count * sizeof *came);
    bool is_full = frontier.near_count + count > VZ_NEAR_MAX || frontier.far_count + count > FAR_MAX;
    // Ties that may fall out count differently then.
    bool may_untie = ties(sorted, count_sorted) > ties(sorted, count_sorted > count + 1 ? count_sorted - count : 1);
    size_t left = vz_enqueue_avx512(&queues, kept, count, bound);
    right &= left <= count && (!is_full || left == count);

    size_t found = 0;
    bool is_tied = false;
    for (size_t i = 0; i < count; i++) {
      for (size_t j = 0; j < count_sorted; j++) is_tied |= is_tie(sorted[j], came[i]);
      for (size_t j = 0; j < i; j++) is_tied |= is_tie(came[j], came[i]);
      if (found < left && kept[found] == came[i]) {
        found++;
        continue;
      }
      heap.entries[heap.count++] = came[i];
      sorted[count_sorted++] = came[i];
    }
    qsort(sorted, count_sorted, sizeof *sorted, by_size);
    if (count_sorted > room) count_sorted = room;
    has_been_full |= count_sorted == room;
    // What is left has a reason.
    right &= found == left && (left == 0 || is_full || is_tied || may_untie);
    right &= ties(sorted, count_sorted) == nearest.ties;
    right &= nearest.count == count_sorted && !memcmp(nearest.entries, sorted, count_sorted * sizeof *sorted);
    right &= nearest.bound == (count_sorted == room ? sorted[room - 1] : UINT64_MAX);
    right &= nearest.has_been_full == has_been_full;
    right &= holds(&frontier, &heap, bound);
    // What comes next is known.
    right &= is_full || frontier.head_count > 0 || frontier.near_count == 0;
    for (size_t i = next_below(4); i > 0; i--) right &= take_out(&frontier, &heap);
    if (count_sorted == room && next() % 4 == 0) {
      uint64_t lower = sorted[room - 1] + ((uint64_t)next_below(distances / 4) << 32);
      if (lower < bound) bound = lower;
    }
  }
  release(&queues);
  return right;
}

/// Where there are fewer than there is room for, and a bound all the same, the list knows of more than it holds.
static bool leaves_all(size_t room) {
  vz_nearest nearest = {entries(room), entries(room), 0, room, 0, 77, true};
  vz_frontier frontier = {entries(2 * VZ_HEAD_MAX), 0,          0, entries(VZ_NEAR_MAX), 0,
                          UINT64_MAX,               UINT64_MAX, entries(FAR_MAX),        0, FAR_MAX};
  vz_queues queues = {&nearest, &frontier, NULL, 0, false};
  uint64_t kept[VZ_KEPT_MAX] = {5, 90};
  bool right = vz_enqueue_avx512(&queues, kept, 2, UINT64_MAX) == 2 && kept[0] == 5 && kept[1] == 90;
  right &= nearest.count == 0 && frontier.head_count == 0 && frontier.near_count == 0 && frontier.far_count == 0;
  release(&queues);
  return right;
}

void check_queues(void) {
  static const size_t rooms[] = {1, 7, 8, 9, 20, 24, 25, 32, 33, 63, 64, 65, 100, 128, 200, 300};
  for (size_t r = 0; r < sizeof rooms / sizeof *rooms; r++) {
    size_t room = rooms[r];
    for (int round = 0; round < 6; round++) {
      report(is_walk(room, UINT32_MAX, false), "avx512", "a walk's", "queues", room, 120);
      report(is_walk(room, (uint32_t)(4 * room + 32), false), "avx512", "a walk's, with ties,", "queues", room, 120);
      report(is_walk(room, (uint32_t)(64 * room), true), "avx512", "a walk's, which has ties,", "queues", room, 120);
    }
    report(leaves_all(room), "avx512", "a list's", "bound", room, 2);
  }
}
#else
void check_queues(void) {}
#endif
