// Taking candidates into a walk's queues with AVX-512: what NearestList.swift and Frontier.swift do one by one, without
// a branch on what a processor cannot guess, which is where in a sorted list a candidate belongs.
//
// A sorted list is some vectors. All entries behind a new one move on by one lane at once, and the last one falls out.
// A short list stays in registers for all candidates of a hop; of a long one there is a part at a time.
//
// May use: graph_walk.h; <immintrin.h>, under target attributes.

#include <string.h>

#include "kernels_internal.h"

#if defined(__x86_64__) || defined(VZ_EMULATE_X86)
#include <immintrin.h>

#define AVX512 VZ_TARGET("avx512f,avx512bw")
#define INLINE AVX512 static inline __attribute__((always_inline))

/// Eight entries.
typedef __m512i eight;

/// In vectors.
enum { HEAD = VZ_HEAD_MAX / 8, IN_REGISTERS_MAX = 4, PART = VZ_QUEUE_STEP / 8 };

/// In a list of so many entries, moving what is behind a place is as quick (NearestList.swift).
enum { ROOM_MAX = 2048 };

/// Behind any candidate.
static const uint64_t none = UINT64_MAX;

/// Those of the lanes from `first` on that are among the first `count`.
INLINE __mmask8 lanes(size_t count, size_t first) {
  return (__mmask8)(count >= first + 8 ? 0xFF : count > first ? (1u << (count - first)) - 1 : 0);
}

INLINE eight all(uint64_t entry) { return _mm512_set1_epi64((long long)entry); }
INLINE eight in_all(eight entries, uint64_t lane) { return _mm512_permutexvar_epi64(all(lane), entries); }
INLINE uint64_t first_of(eight entries) { return (uint64_t)_mm_cvtsi128_si64(_mm512_castsi512_si128(entries)); }
INLINE eight moved_on(eight entries, eight before) { return _mm512_alignr_epi64(entries, before, 7); }

/// Entries, and none in the lanes behind them.
INLINE eight load(const uint64_t *entries, size_t count, size_t first) {
  return _mm512_mask_loadu_epi64(all(none), lanes(count, first), entries + first);
}

INLINE void store(uint64_t *entries, eight vector) { _mm512_storeu_si512(entries, vector); }

/// Puts the lanes of `mask` at `entries`, where there is room for eight whatever they are; returns how many they are.
INLINE size_t append(uint64_t *entries, __mmask8 mask, eight vector) {
  store(entries, _mm512_maskz_compress_epi64(mask, vector));
  return (size_t)__builtin_popcount(mask);
}

/// Which lanes are at the same distance.
INLINE __mmask8 tied(eight a, eight b) {
  return _mm512_testn_epi64_mask(_mm512_xor_si512(a, b), all(~(uint64_t)UINT32_MAX));
}

/// Puts an entry, which is in all lanes of `x`, in its place in a list that stands behind the last lane of `before`. What
/// falls out is in the last lane of the result.
INLINE eight place_behind(eight before, eight *list, size_t vectors, eight x) {
  eight out = _mm512_max_epu64(list[vectors - 1], x);
  for (size_t v = 0; v < vectors; v++) {
    eight old = list[v];
    list[v] = _mm512_max_epu64(moved_on(old, before), _mm512_min_epu64(old, x));
    before = old;
  }
  return out;
}

INLINE eight place(eight *list, size_t vectors, eight x) { return place_behind(all(0), list, vectors, x); }

INLINE bool has_tie(const eight *list, size_t vectors, eight x) {
  __mmask8 ties = 0;
  for (size_t v = 0; v < vectors; v++) ties |= tied(list[v], x);
  return ties != 0;
}

// MARK: The nearest

/// Whether one of the last `n` entries is as far as the one before it. It counts differently when it falls out
/// (NearestList.swift).
INLINE bool ends_in_ties(const vz_nearest *nearest, size_t n) {
  for (size_t i = nearest->count > n ? nearest->count - n : 1; i < nearest->count; i++)
    if ((nearest->entries[i - 1] ^ nearest->entries[i]) >> 32 == 0) return true;
  return false;
}

INLINE void count_nearest(vz_nearest *nearest, size_t added) {
  nearest->count = nearest->count + added < nearest->room ? nearest->count + added : nearest->room;
  if (nearest->count == nearest->room) {
    nearest->bound = nearest->entries[nearest->room - 1];
    nearest->has_been_full = true;
  }
}

/// Inserts into a long list: a part of it at a time goes through registers to where the list will be.
/// Returns false, and has changed nothing, where an entry is as far as another.
AVX512 static bool insert_in_parts(vz_nearest *nearest, const uint64_t *entries, size_t count) {
  size_t length = nearest->count + count < nearest->room ? nearest->count + count : nearest->room;
  // For each entry, what fell out of the part before this one.
  eight befores[VZ_DEGREE_MAX];
  uint64_t least = none;
  for (size_t i = 0; i < count; i++) {
    befores[i] = all(0);
    least = entries[i] < least ? entries[i] : least;
  }
  for (size_t first = 0; first < length; first += 8 * PART) {
    eight list[PART];
    for (size_t v = 0; v < PART; v++) list[v] = load(nearest->entries, nearest->count, first + 8 * v);
    // More often than not, what comes is behind the first parts.
    size_t end = first + 8 * PART;
    bool is_before = end <= nearest->count && nearest->entries[end - 1] >> 32 < least >> 32;
    for (size_t i = 0; i < count; i++) {
      eight before = befores[i], x = all(entries[i]);
      befores[i] = list[PART - 1];
      if (is_before) continue;
      if (has_tie(list, PART, x)) return false;
      place_behind(before, list, PART, x);
    }
    for (size_t v = 0; v < PART; v++) store(nearest->spare + first + 8 * v, list[v]);
  }
  uint64_t *spare = nearest->spare;
  nearest->spare = nearest->entries;
  nearest->entries = spare;
  return true;
}

// MARK: The frontier

typedef struct head_of {
  eight list[HEAD];
} head_of;

INLINE head_of load_head(const vz_frontier *frontier) {
  head_of head;
  for (size_t v = 0; v < HEAD; v++)
    head.list[v] = load(frontier->head + frontier->head_first, frontier->head_count, 8 * v);
  return head;
}

INLINE void store_head(vz_frontier *frontier, head_of head) {
  size_t count = 0;
  for (size_t v = 0; v < HEAD; v++) {
    store(frontier->head + 8 * v, head.list[v]);
    count += (size_t)__builtin_popcount(_mm512_cmpneq_epu64_mask(head.list[v], all(none)));
  }
  frontier->head_first = 0;
  frontier->head_count = count;
}

/// Moves the nearest of the near part to the head, which is empty, and drops what is not below `bound`: this hop keeps
/// nothing such either.
AVX512 static void refill(vz_frontier *frontier, uint64_t bound) {
  uint64_t *near = frontier->near, nearer[VZ_NEAR_MAX + 8], leasts[8];
  // The least of each lane are eight entries that are near. As near as the seventh of these are about fourteen of all, for
  // which the head has room.
  eight least = all(none);
  for (size_t i = 0; i < frontier->near_count; i += 8)
    least = _mm512_min_epu64(least, load(near, frontier->near_count, i));
  store(leasts, least);
  eight sorted = all(none);
  for (size_t i = 0; i < 8; i++) place(&sorted, 1, all(leasts[i]));
  const eight pivot = in_all(sorted, 6), limit = all(bound);
  size_t n = 0, kept = 0;
  eight rest = all(frontier->pivot);
  for (size_t i = 0; i < frontier->near_count; i += 8) {
    eight x = load(near, frontier->near_count, i);
    __mmask8 is_wanted = _mm512_cmplt_epu64_mask(x, limit);
    __mmask8 is_nearer = _mm512_mask_cmple_epu64_mask(is_wanted, x, pivot);
    __mmask8 is_kept = (__mmask8)(is_wanted & ~is_nearer);
    rest = _mm512_mask_min_epu64(rest, is_kept, rest, x);
    n += append(nearer + n, is_nearer, x);
    // What is overwritten was read.
    kept += append(near + kept, is_kept, x);
  }
  head_of head;
  for (size_t v = 0; v < HEAD; v++) head.list[v] = all(none);
  for (size_t i = 0; i < n; i++) {
    eight out = in_all(place(head.list, HEAD, all(nearer[i])), 7);
    rest = _mm512_min_epu64(rest, out);
    near[kept] = first_of(out);
    kept += near[kept] != none;
  }
  store_head(frontier, head);
  frontier->near_least = _mm512_reduce_min_epu64(rest);
  frontier->near_count = kept;
}

// MARK: Both

/// - vectors: of the list of the nearest, IN_REGISTERS_MAX at most; 0 = it is a long one.
/// Returns how many candidates are left.
INLINE size_t take(vz_queues *queues, uint64_t *kept, size_t count, size_t vectors) {
  vz_nearest *nearest = queues->nearest;
  vz_frontier *frontier = queues->frontier;
  uint64_t *near = frontier->near + frontier->near_count, *far = frontier->far + frontier->far_count;
  uint64_t sifted[VZ_KEPT_MAX], *rest = kept;
  const uint64_t pivot = frontier->pivot;
  eight least = all(frontier->near_least);
  size_t n = count;
  // Of many, most are neither among the nearest nor ahead of what waits. Those go where they belong, eight at once.
  if (count > 8) {
    const eight limit = _mm512_max_epu64(all(nearest->bound), least);
    rest = sifted;
    n = 0;
    for (size_t i = 0; i < count; i += 8) {
      eight x = load(kept, count, i);
      __mmask8 is_behind = _mm512_mask_cmpge_epu64_mask(lanes(count, i), x, limit);
      __mmask8 is_far = _mm512_mask_cmpge_epu64_mask(is_behind, x, all(pivot));
      n += append(rest + n, (__mmask8)(lanes(count, i) & ~is_behind), x);
      near += append(near, (__mmask8)(is_behind & ~is_far), x);
      far += append(far, is_far, x);
    }
  }

  eight list[IN_REGISTERS_MAX];
  for (size_t v = 0; v < vectors; v++) list[v] = load(nearest->entries, nearest->count, 8 * v);
  head_of head = load_head(frontier);
  size_t taken = 0, takeable = nearest->ties > 0 && ends_in_ties(nearest, n) ? 0 : n;
  if (vectors == 0 && takeable > 0 && !insert_in_parts(nearest, rest, n)) takeable = 0;
  for (; taken < takeable; taken++) {
    eight x = all(rest[taken]);
    if (vectors > 0) {
      if (has_tie(list, vectors, x)) break;
      place(list, vectors, x);
    }
    __mmask8 is_head = _mm512_cmplt_epu64_mask(x, least);
    eight out = in_all(place(head.list, HEAD, _mm512_mask_mov_epi64(all(none), is_head, x)), 7);
    out = _mm512_mask_mov_epi64(x, is_head, out);
    least = _mm512_min_epu64(least, out);
    uint64_t entry = first_of(out);
    bool is_near = entry < pivot;
    *near = entry;
    near += is_near;
    *far = entry;
    far += !is_near & (entry != none);
  }
  for (size_t v = 0; v < vectors; v++) store(nearest->entries + 8 * v, list[v]);
  count_nearest(nearest, taken);
  store_head(frontier, head);
  frontier->near_least = first_of(least);
  frontier->near_count = (size_t)(near - frontier->near);
  frontier->far_count = (size_t)(far - frontier->far);
  memmove(kept, rest + taken, (n - taken) * sizeof *kept);
  return n - taken;
}

AVX512 size_t vz_enqueue_avx512(vz_queues *queues, uint64_t *kept, size_t count, uint64_t bound) {
  vz_nearest *nearest = queues->nearest;
  vz_frontier *frontier = queues->frontier;
  if (nearest->room > ROOM_MAX) return count;
  if (count > VZ_NEAR_MAX - frontier->near_count || frontier->far_count + count > frontier->far_max) return count;
  // Where entries were left out for others of their distance, the bound is not the list's last.
  if ((nearest->count < nearest->room) != (nearest->bound == none)) return count;
  size_t left = 0, vectors = (nearest->room + 7) / 8;
  if (count > 0) switch (vectors) {
  case 1: left = take(queues, kept, count, 1); break;
  case 2: left = take(queues, kept, count, 2); break;
  case 3: left = take(queues, kept, count, 3); break;
  case 4: left = take(queues, kept, count, 4); break;
  default: left = take(queues, kept, count, 0);
  }
  if (frontier->head_count == 0 && frontier->near_count > 0) refill(frontier, bound);
  return left;
}
#endif
