// Distance kernels: one instruction set a file, one table of function pointers an instruction set, chosen once.
//
// Why C: Swift cannot compile one function for several instruction sets, and raising a whole module's baseline crashes
// on older CPUs. Here each file names its own targets, so no unsafe flag is needed (docs/decisions/0001-kernels-in-c.md).
//
// Pointers and sizes only. The shape of this header is the same on every CPU.
//
// May use: the standard library's types.
#pragma once

#include <stdbool.h>
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

/// Sums one query against many rows. The unit of work is a hop of the graph search: one call, up to a few dozen rows.
///
/// `query` is [width] and `rows` is [any][width] numbers, both 64-byte aligned and padded from the dimension up to
/// `width`, so that no kernel has a tail. `slots` names the rows; when it is NULL, rows 0 to count - 1 are meant. `out` is
/// [count]. Which numbers those are, and how they are padded, stands with each kernel in `vz_kernels`.
///
/// Floating-point sums are taken in an order of the kernel's own, so variants differ by rounding; the tests state the
/// bound. Integer sums are exact up to their conversion to float. In one variant, the sum of a query and a row is the same
/// number wherever the row stands and whatever stands beside it.
typedef void (*vz_sum_rows)(const void *query, const void *rows, size_t width, const uint32_t *VZ_NULLABLE slots,
                            size_t count, float *out);

/// Writes numbers of a row as floats: `row` and `out` are [width], 64-byte aligned.
typedef void (*vz_widen_row)(const void *row, size_t width, float *out);

/// Some slots, which lie in a log.
typedef struct vz_batch {
  const uint32_t *slots;
  size_t count;
} vz_batch;

struct vz_plane;
struct vz_query;
struct vz_visited;
struct vz_queues;

/// What `vz_hop` does (graph_walk.h).
typedef size_t (*vz_hop_of)(const struct vz_plane *plane, const struct vz_query *query, vz_batch ready, float bound,
                            uint64_t *kept, const uint32_t *VZ_NULLABLE links, size_t degree,
                            struct vz_visited *visited, vz_batch *gathered, struct vz_queues *VZ_NULLABLE queues);

/// The kernels of one instruction set.
typedef struct vz_kernels {
  /// "avx512vnni", "avx512", "avx2", "neondot", "neon" or "scalar".
  const char *name;
  /// f32 query, f32 rows; width a multiple of 16, padded with zeros. out[i] = the sum of query[j] * row[j].
  vz_sum_rows f32_product;
  /// As before. out[i] = the sum of (query[j] - row[j])^2.
  vz_sum_rows f32_squared_l2;
  /// f32 query, IEEE half-precision rows; width a multiple of 32, padded with zeros. out[i] = the sum of query[j] * row[j].
  vz_sum_rows f16_product;
  /// int8 query, int8 rows, both without -128; width a multiple of 64, padded with zeros.
  /// out[i] = the sum of query[j] * row[j].
  vz_sum_rows int8_product;
  /// f32 query, int8 rows without -128; width a multiple of 64, padded with zeros. out[i] = the sum of query[j] * row[j].
  vz_sum_rows f32_int8_product;
  /// int8 query without -128, 4-bit rows of 0...15; width a multiple of 128, the query padded with zeros and the rows with
  /// anything. Byte b of the n-th 64 bytes of a row holds number 128n + b in its low four bits and number 128n + 64 + b in
  /// its high ones. out[i] = the sum of query[j] * row[j].
  vz_sum_rows int4_product;
  /// IEEE half-precision numbers as the floats that they are; width a multiple of 32.
  vz_widen_row f16_widen;
  vz_hop_of hop;
} vz_kernels;

/// The most variants that any CPU can run.
enum { VZ_KERNELS_MAX = 4 };

/// Writes the kernels that this CPU (and its operating system) can run into `tables`, fastest first, and returns how
/// many there are. "scalar" is always the last.
size_t vz_kernels_available(const vz_kernels *VZ_NULLABLE *VZ_NONNULL tables);

/// Rows in one representation, and the kernel that sums them.
typedef struct vz_plane {
  const void *rows;
  /// Bytes a row takes, padding included: whole cache lines.
  size_t row_bytes;
  /// [slot * side_stride]: what the sum of a row is multiplied with (see `vz_query`).
  const float *scales;
  /// [slot * side_stride]: what is added. NULL where that is 0 for every row.
  const float *VZ_NULLABLE biases;
  size_t side_stride;
  /// Numbers a row, padding included.
  size_t width;
  vz_sum_rows sum;
  vz_hop_of hop;
} vz_plane;

/// A query in the form that a plane's kernel takes, and the numbers that make distances of its sums:
///
///     distance = scale * (factor * sum + shift) + bias * weight + constant
typedef struct vz_query {
  const void *numbers;
  float factor;
  float shift;
  float weight;
  float constant;
} vz_query;

/// out[i] = the distance from the query to row `slots[i]`.
void vz_score(const vz_plane *plane, const vz_query *query, const uint32_t *slots, size_t count, float *out);

/// out[i] = the distance from the query to row `first + i`.
void vz_score_range(const vz_plane *plane, const vz_query *query, size_t first, size_t count, float *out);

/// Scores as `vz_score` does, and keeps the rows whose distance is below `bound` (or not a number): their slots go to the
/// front of `kept`, in order, and their distances to the front of `out`; both have room for `count`, and `kept` may be
/// `slots`. Returns how many there are.
size_t vz_score_below(const vz_plane *plane, const vz_query *query, const uint32_t *slots, size_t count, float bound,
                      uint32_t *kept, float *out);

/// Asks for the cache line at `address`, which need not be mapped.
static inline void vz_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }

/// Asks for a row and for what stands beside it.
static inline void vz_prefetch_row(const vz_plane *plane, uint32_t slot) {
  const char *row = (const char *)plane->rows + slot * plane->row_bytes;
  for (size_t offset = 0; offset < plane->row_bytes; offset += 64) vz_prefetch(row + offset);
  vz_prefetch(plane->scales + slot * plane->side_stride);
}

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif
