// A hop with AVX-512: what hop.c does, sixteen slots at a time.
//
// Where a line of codes is summed in a few instructions, what a hop does besides takes longer than its sums.
//
// May use: scoring.h; <immintrin.h>, under target attributes.

#include "kernels_internal.h"
#include "scoring.h"

#if defined(__x86_64__) || defined(VZ_EMULATE_X86)
#include <immintrin.h>

#define AVX512 VZ_TARGET("avx512f,avx512bw")
#if defined(VZ_EMULATE_X86)
#define ONCE(vector)
#else
#define ONCE(vector) __asm__ volatile("" : "+v"(vector) : : "memory")
#endif

static inline __mmask16 first_lanes(size_t count) { return (__mmask16)(count < 16 ? (1u << count) - 1 : 0xFFFF); }

/// What stands beside the rows of the lanes' slots. Slots are below 2^31 (VectorStore.slotsMaxLimit): signed indices reach them.
AVX512 static inline __m512 sides(const float *numbers, size_t stride, __mmask16 lanes, __m512i slots) {
  return stride == 1 ? _mm512_mask_i32gather_ps(_mm512_setzero_ps(), lanes, slots, numbers, 4)
                     : _mm512_mask_i32gather_ps(_mm512_setzero_ps(), lanes, slots, numbers, 8);
}

/// `vz_finished` and `vz_candidate` of the sums, in the same order of operations, for those that are below the bound.
AVX512 static inline size_t keep(const vz_plane *plane, const vz_query *query, const uint32_t *slots, size_t count,
                                 float bound, const float *sums, uint64_t *kept) {
  const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
  const __m512 constant = _mm512_set1_ps(query->constant), limit = _mm512_set1_ps(bound);
  size_t n = 0;
  for (size_t i = 0; i < count; i += 16) {
    __mmask16 lanes = first_lanes(count - i);
    __m512i slot = _mm512_maskz_loadu_epi32(lanes, slots + i);
    __m512 sum = _mm512_maskz_loadu_ps(lanes, sums + i), rest = constant;
    if (plane->biases) {
      __m512 bias = sides(plane->biases, plane->side_stride, lanes, slot);
      rest = _mm512_add_ps(_mm512_mul_ps(bias, _mm512_set1_ps(query->weight)), constant);
    }
    sum = _mm512_add_ps(_mm512_mul_ps(_mm512_set1_ps(query->factor), sum), _mm512_set1_ps(query->shift));
    __m512 distance =
        _mm512_add_ps(_mm512_mul_ps(sides(plane->scales, plane->side_stride, lanes, slot), sum), rest);
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

/// Takes the links that were not visited into the log, and asks for their rows.
AVX512 static inline size_t gather(const uint32_t *links, size_t degree, vz_visited *visited, const vz_plane *plane) {
  uint64_t *bits = visited->bits;
  uint32_t *out = visited->log + visited->log_count;
  const __m512i slots = _mm512_set1_epi32((int)visited->slots), one = _mm512_set1_epi32(1);
  size_t count = 0;
  for (size_t i = 0; i < degree; i += 16) {
    // Writers store one link at a time. What an aligned load of a line has of each is one that was stored there, and x86 acquires with
    // every load. C has no word for that, so the compiler is kept from loading twice.
    __m512i link = _mm512_load_si512(links + i);
    ONCE(link);
    __mmask16 lanes = first_lanes(degree - i);
    unsigned ends = _mm512_mask_cmpeq_epi32_mask(lanes, link, _mm512_set1_epi32(-1));
    // Those before the end.
    if (ends) lanes = (__mmask16)((ends - 1) & ~ends & lanes);
    __mmask16 known = _mm512_mask_cmplt_epu32_mask(lanes, link, slots);
    __m512i word = _mm512_srli_epi32(link, 5);
    word = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), known, word, (const void *)bits, 4);
    __m512i bit = _mm512_sllv_epi32(one, _mm512_and_si512(link, _mm512_set1_epi32(31)));
    __mmask16 is_new = _mm512_mask_testn_epi32_mask(known, word, bit);
    _mm512_storeu_si512(out + count, _mm512_maskz_compress_epi32(is_new, link));
    // One slot may be there twice while its row is rewritten.
    size_t end = count + (size_t)__builtin_popcount(is_new);
    for (size_t j = count; j < end; j++) {
      uint32_t slot = out[j];
      uint64_t word = bits[slot >> 6], mark = (uint64_t)1 << (slot & 63);
      bits[slot >> 6] = word | mark;
      out[count] = slot;
      count += !(word & mark);
      vz_prefetch_row(plane, slot);
    }
    if (ends) break;
  }
  return count;
}

AVX512 size_t vz_hop_avx512(const vz_plane *plane, const vz_query *query, vz_batch ready, float bound, uint64_t *kept,
                            const uint32_t *links, size_t degree, vz_visited *visited, vz_batch *gathered) {
  size_t n = 0;
  if (ready.count > 0) {
    float sums[VZ_DEGREE_MAX];
    plane->sum(query->numbers, plane->rows, plane->width, ready.slots, ready.count, sums);
    n = keep(plane, query, ready.slots, ready.count, bound, sums, kept);
  }
  vz_batch batch = vz_next_batch(visited);
  if (links) {
    batch.count = gather(links, degree, visited, plane);
    visited->log_count += batch.count;
  }
  *gathered = batch;
  return n;
}
#endif
