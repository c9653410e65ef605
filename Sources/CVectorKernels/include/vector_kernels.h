// Distance kernels: one instruction set a file, one table of function pointers an instruction set, chosen once.
//
// Why C: Swift cannot compile one function for several instruction sets, and raising a whole module's baseline crashes
// on older CPUs. Here each file names its own targets, so no unsafe flag is needed (docs/decisions/0001-kernels-in-c.md).
//
// Pointers and sizes only. The shape of this header is the same on every CPU.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__clang__)
#pragma clang assume_nonnull begin
#define VZ_NULLABLE _Nullable
#define VZ_NONNULL _Nonnull
#else
#define VZ_NULLABLE
#define VZ_NONNULL
#endif

/// Scores one query against many rows. The unit of work is a hop of the graph search: one call, up to a few dozen rows.
///
/// `query` is [width] and `rows` is [any][width] floats, both 64-byte aligned and padded with zeros from the dimension up
/// to `width`, which is a multiple of 16: no kernel has a tail. `slots` names the rows; when it is NULL, rows 0 to
/// count - 1 are meant. `out` is [count].
///
/// Sums are taken in an order of the kernel's own, so variants differ by rounding; the tests state the bound.
typedef void (*vz_score_rows)(const float *query, const float *rows, size_t width, const uint32_t *VZ_NULLABLE slots,
                              size_t count, float *out);

/// The kernels of one instruction set.
typedef struct vz_kernels {
  /// "scalar", "avx2", "avx512" or "neon".
  const char *name;
  /// out[i] = the sum of query[j] * row[j].
  vz_score_rows inner_product;
  /// out[i] = the sum of (query[j] - row[j])^2.
  vz_score_rows squared_l2;
} vz_kernels;

/// The most variants that any CPU can run.
enum { VZ_KERNELS_MAX = 4 };

/// Writes the kernels that this CPU (and its operating system) can run into `tables`, fastest first, and returns how
/// many there are. "scalar" is always the last.
size_t vz_kernels_available(const vz_kernels *VZ_NULLABLE *VZ_NONNULL tables);

/// Asks for the cache line at `address`, which need not be mapped.
static inline void vz_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif
