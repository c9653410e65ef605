// What the kernel files share: the tables that they define, and how a row is found. Not visible to Swift.
//
// May use: graph_walk.h.
#pragma once

#include "graph_walk.h"

// VZ_TARGET compiles a function for CPUs that have what it names. VZ_EMULATE_X86 builds the x86 files where their
// instructions are emulated in C (scripts/check-kernels): the real ones must not be used there.
#if defined(VZ_EMULATE_X86)
#define VZ_TARGET(features)
#else
#define VZ_TARGET(features) __attribute__((target(features)))
#endif

extern const vz_kernels vz_kernels_scalar;
#if defined(__x86_64__) || defined(VZ_EMULATE_X86)
extern const vz_kernels vz_kernels_avx2;
extern const vz_kernels vz_kernels_avx512;
extern const vz_kernels vz_kernels_avx512vnni;
#endif
#if defined(__aarch64__)
extern const vz_kernels vz_kernels_neon;
extern const vz_kernels vz_kernels_neondot;
#endif

#if defined(__x86_64__) || defined(VZ_EMULATE_X86)
size_t vz_hop_avx512(const vz_plane *plane, const vz_query *query, vz_batch ready, float bound, uint64_t *kept,
                     const uint32_t *links, size_t degree, vz_visited *visited, vz_batch *gathered, vz_queues *queues);

/// Takes candidates into the queues, as a hop does.
///
/// - kept: [count], at most VZ_DEGREE_MAX; those that are left come first then.
/// - bound: what is not below it need not be kept.
///
/// Returns how many are left.
size_t vz_enqueue_avx512(vz_queues *queues, uint64_t *kept, size_t count, uint64_t bound);
#endif

/// Row `i` of those named, where a row takes `row_bytes` bytes.
static inline const void *vz_row(const void *rows, size_t row_bytes, const uint32_t *slots, size_t i) {
  return (const char *)rows + (slots ? (size_t)slots[i] : i) * row_bytes;
}
