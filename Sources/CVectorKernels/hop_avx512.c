// A hop with AVX-512: what hop.c does, sixteen rows at a time, and candidates are taken into the queues.
//
// Where a line of codes is summed in a few instructions, what a hop does besides takes longer than its sums.
//
// May use: gathering.h; <immintrin.h>, under target attributes.

#include "gathering.h"
#include "kernels_internal.h"

#if defined(__x86_64__) || defined(VZ_EMULATE_X86)
#include <immintrin.h>

#define AVX512 VZ_TARGET("avx512f,avx512bw")

static inline __mmask16 first_lanes(size_t count) { return (__mmask16)(count < 16 ? (1u << count) - 1 : 0xFFFF); }

/// Of the rows that are ready: their sums, and what stands beside them.
typedef struct scored {
  float sums[VZ_DEGREE_MAX], scales[VZ_DEGREE_MAX], biases[VZ_DEGREE_MAX];
} scored;

/// `vz_finished` and `vz_candidate` of the sums, in the same order of operations, for those that are below the bound.
AVX512 static inline size_t keep(const vz_plane *plane, const vz_query *query, const uint32_t *slots, size_t count,
                                 float bound, const scored *rows, uint64_t *kept) {
  const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
  const __m512 constant = _mm512_set1_ps(query->constant), limit = _mm512_set1_ps(bound);
  size_t n = 0;
  for (size_t i = 0; i < count; i += 16) {
    __mmask16 lanes = first_lanes(count - i);
    __m512i slot = _mm512_maskz_loadu_epi32(lanes, slots + i);
    __m512 sum = _mm512_maskz_loadu_ps(lanes, rows->sums + i), rest = constant;
    if (plane->biases) {
      __m512 bias = _mm512_maskz_loadu_ps(lanes, rows->biases + i);
      rest = _mm512_add_ps(_mm512_mul_ps(bias, _mm512_set1_ps(query->weight)), constant);
    }
    sum = _mm512_add_ps(_mm512_mul_ps(_mm512_set1_ps(query->factor), sum), _mm512_set1_ps(query->shift));
    __m512 scale = _mm512_maskz_loadu_ps(lanes, rows->scales + i);
    __m512 distance = _mm512_add_ps(_mm512_mul_ps(scale, sum), rest);
    __mmask16 is_near = _mm512_mask_cmp_ps_mask(lanes, distance, limit, _CMP_NGE_UQ);
    __mmask16 is_none = _mm512_cmp_ps_mask(distance, distance, _CMP_UNORD_Q);
    __m512i bits = _mm512_castps_si512(_mm512_mask_mov_ps(distance, is_none, _mm512_set1_ps(__builtin_inff())));
    __m512i sign = _mm512_or_si512(_mm512_srai_epi32(bits, 31), _mm512_set1_epi32((int)0x80000000));
    __m512i order = _mm512_maskz_compress_epi32(is_near, _mm512_xor_si512(bits, sign));
    slot = _mm512_maskz_compress_epi32(is_near, slot);
    _mm512_storeu_si512(kept + n, _mm512_permutex2var_epi32(slot, low, order));
    _mm512_storeu_si512(kept + n + 8, _mm512_permutex2var_epi32(slot, high, order));
    n += (size_t)__builtin_popcount(is_near);
  }
  return n;
}

/// What stands beside the rows is loaded one by one, which no gather does faster, and before the sums: what was just stored
/// in parts is not ready to be loaded whole.
AVX512 static inline size_t score(const vz_plane *plane, const vz_query *query, vz_batch ready, float bound,
                                  uint64_t *kept) {
  scored rows;
  size_t stride = plane->side_stride;
  for (size_t i = 0; i < ready.count; i++) rows.scales[i] = plane->scales[ready.slots[i] * stride];
  for (size_t i = 0; plane->biases && i < ready.count; i++) rows.biases[i] = plane->biases[ready.slots[i] * stride];
  plane->sum(query->numbers, plane->rows, plane->width, ready.slots, ready.count, rows.sums);
  return keep(plane, query, ready.slots, ready.count, bound, &rows, kept);
}

/// Asks for the links of the two that come next.
static inline void ask_for_links(vz_queues *queues) {
  const vz_frontier *frontier = queues->frontier;
  queues->has_asked = queues->links && frontier->head_count > 0;
  for (size_t i = 0; queues->links && i < 2 && i < frontier->head_count; i++) {
    uint32_t slot = (uint32_t)frontier->head[frontier->head_first + i];
    const char *links = (const char *)queues->links + slot * queues->link_bytes;
    vz_prefetch(links);
    vz_prefetch(links + 64);
  }
}

AVX512 size_t vz_hop_avx512(const vz_plane *plane, const vz_query *query, vz_batch ready, float bound, uint64_t *kept,
                            const uint32_t *links, size_t degree, vz_visited *visited, vz_batch *gathered,
                            vz_queues *queues) {
  size_t left = ready.count > 0 ? score(plane, query, ready, bound, kept) : 0;
  if (queues) {
    left = vz_enqueue_avx512(queues, kept, left, vz_candidate(bound, UINT32_MAX));
    queues->has_asked = false;
    if (left == 0) ask_for_links(queues);
  }
  *gathered = vz_gather(plane, links, degree, visited);
  return left;
}
#endif
