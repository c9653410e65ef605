// Kernels of processors that this machine is not, and those of this one, against sums in double precision and in 64-bit
// integers: run under qemu-user, or with their instructions emulated, or as they are. The bounds are those of
// KernelTests.swift. A row's sum does not depend on the rows beside it. Also what plane.c makes of sums.
//
//   check_kernels [NAME...]      NAME...: the tables that there should be, fastest first
//
// VIZINHO_TEST_SEED names the one seed to use. Prints `N passed, N failed` and exits with 1 when any failed.

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../Sources/CVectorKernels/kernels_internal.h"
#include "checks.h"

static int passed = 0, failed = 0;

void report(bool right, const char *table, const char *what, const char *kernel, size_t dimension, size_t count) {
  if (right) {
    passed++;
    return;
  }
  failed++;
  fprintf(stderr, "%s: %s %s, dimension %zu, %zu rows: wrong\n", table, what, kernel, dimension, count);
}

static uint64_t state;

uint64_t next(void) {
  uint64_t z = state += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

size_t next_below(size_t bound) { return next() % bound; }
static float next_float(void) { return (float)((double)(next() >> 11) * 0x1p-52 - 1); }

// A kernel, and what it takes.

typedef enum { F32, F16, INT8, INT4 } numbers;

typedef struct {
  const char *name;
  size_t offset;
  numbers query, rows;
  size_t width_multiple;
  bool squares;
} kernel;

static const kernel kernels[] = {
    {"f32_product", offsetof(vz_kernels, f32_product), F32, F32, 16, false},
    {"f32_squared_l2", offsetof(vz_kernels, f32_squared_l2), F32, F32, 16, true},
    {"f16_product", offsetof(vz_kernels, f16_product), F32, F16, 32, false},
    {"int8_product", offsetof(vz_kernels, int8_product), INT8, INT8, 64, false},
    {"f32_int8_product", offsetof(vz_kernels, f32_int8_product), F32, INT8, 64, false},
    {"int4_product", offsetof(vz_kernels, int4_product), INT8, INT4, 128, false},
};
enum { KERNELS = sizeof kernels / sizeof *kernels };

static vz_sum_rows function(const vz_kernels *table, const kernel *kernel) {
  vz_sum_rows sum;
  memcpy(&sum, (const char *)table + kernel->offset, sizeof sum);
  return sum;
}

static size_t bits(numbers kind) { return kind == F32 ? 32 : kind == F16 ? 16 : kind == INT8 ? 8 : 4; }
static size_t width_of(const kernel *kernel, size_t dimension) {
  return (dimension + kernel->width_multiple - 1) / kernel->width_multiple * kernel->width_multiple;
}

static double get(numbers kind, const void *row, size_t j) {
  switch (kind) {
  case F32: return ((const float *)row)[j];
  case F16: return (double)((const _Float16 *)row)[j];
  case INT8: return ((const int8_t *)row)[j];
  case INT4: return ((const uint8_t *)row)[j / 128 * 64 + j % 64] >> (j % 128 < 64 ? 0 : 4) & 15;
  }
  abort();
}

static void set(numbers kind, void *row, size_t j, double value) {
  switch (kind) {
  case F32: ((float *)row)[j] = (float)value; return;
  case F16: ((_Float16 *)row)[j] = (_Float16)value; return;
  case INT8: ((int8_t *)row)[j] = (int8_t)value; return;
  case INT4: {
    uint8_t *pair = (uint8_t *)row + j / 128 * 64 + j % 64;
    *pair = j % 128 < 64 ? (uint8_t)((*pair & 0xF0) | (int)value) : (uint8_t)((*pair & 15) | (int)value << 4);
  }
  }
}

static double largest(numbers kind) { return kind == INT8 ? 127 : kind == INT4 ? 15 : kind == F16 ? 65504 : 1; }
static double smallest(numbers kind) { return kind == INT4 ? 0 : -largest(kind); }

/// How numbers are chosen: anywhere, at either end, or all at one.
typedef enum { ANYWHERE, ENDS, LARGEST, SMALLEST } choice;

static double chosen(numbers kind, choice choice) {
  if (choice == ENDS) choice = next() & 1 ? LARGEST : SMALLEST;
  if (choice == LARGEST) return largest(kind);
  if (choice == SMALLEST) return smallest(kind);
  switch (kind) {
  case F32: return next_float();
  // Of all sizes, those below the normal ones, too.
  case F16: return ldexp(next_float(), (int)next_below(40) - 25);
  case INT8: return (double)next_below(255) - 127;
  case INT4: return (double)next_below(16);
  }
  abort();
}

/// Numbers up to the dimension, then zeros; 4-bit rows are padded with anything.
static void fill(numbers kind, void *row, size_t dimension, size_t width, choice choice) {
  for (size_t j = 0; j < width; j++)
    set(kind, row, j, j < dimension ? chosen(kind, choice) : kind == INT4 ? chosen(kind, ANYWHERE) : 0);
}

static void *allocate(size_t bytes) {
  void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (!memory) abort();
  return memory;
}

enum { COUNT_MAX = 33, ROWS = COUNT_MAX + 102 };

static void check_sums(const vz_kernels *table, const kernel *kernel, size_t dimension, size_t count, bool named,
                       choice of_query, choice of_rows) {
  size_t width = width_of(kernel, dimension), row_bytes = width * bits(kernel->rows) / 8, there = named ? 8 : count;
  char *query = allocate(width * bits(kernel->query) / 8), *rows = allocate(there * row_bytes);
  uint32_t slots[COUNT_MAX];
  float out[COUNT_MAX + 1];
  fill(kernel->query, query, dimension, width, of_query);
  for (size_t i = 0; i < there; i++) fill(kernel->rows, rows + i * row_bytes, dimension, width, of_rows);
  for (size_t i = 0; i < count; i++) slots[i] = (uint32_t)next_below(there);
  out[count] = 77;
  function(table, kernel)(query, rows, width, named ? slots : NULL, count, out);
  bool right = out[count] == 77;
  for (size_t i = 0; i < count; i++) {
    const char *row = rows + (named ? slots[i] : i) * row_bytes;
    float alone;
    function(table, kernel)(query, row, width, NULL, 1, &alone);
    right &= !memcmp(&alone, &out[i], sizeof alone);
    double sum = 0, size = 0;
    for (size_t j = 0; j < dimension; j++) {
      double a = get(kernel->query, query, j), b = get(kernel->rows, row, j);
      double term = kernel->squares ? (a - b) * (a - b) : a * b;
      sum += term;
      size += fabs(term);
    }
    double bound = (kernel->squares ? 4 : 1) * size * (double)width * 0x1p-24 + 1e-30;
    // Integers are exact in double precision, and so is their sum.
    right &= kernel->query == INT8 ? out[i] == (float)sum : fabs(out[i] - sum) <= bound;
  }
  free(query);
  free(rows);
  report(right, table->name, named ? "named rows by" : "rows by", kernel->name, dimension, count);
}

/// Every half is the float that the compiler takes it for.
static void check_halves(const vz_kernels *table) {
  enum { WIDTH = 32, HALVES = 65536 };
  float *query = allocate(WIDTH * sizeof *query), *out = allocate(HALVES * sizeof *out);
  uint16_t *rows = allocate(HALVES * WIDTH * sizeof *rows);
  memset(query, 0, WIDTH * sizeof *query);
  memset(rows, 0, HALVES * WIDTH * sizeof *rows);
  query[0] = 1;
  for (size_t i = 0; i < HALVES; i++) rows[i * WIDTH] = (uint16_t)i;
  table->f16_product(query, rows, WIDTH, NULL, HALVES, out);
  bool right = true;
  for (size_t i = 0; i < HALVES; i++) {
    double value = get(F16, rows, i * WIDTH);
    right &= isnan(value) ? isnan(out[i]) : out[i] == value;
  }
  report(right, table->name, "every half by", "f16_product", 1, HALVES);

  for (size_t i = 0; i < HALVES; i++) rows[i] = (uint16_t)i;
  table->f16_widen(rows, HALVES, out);
  right = true;
  for (size_t i = 0; i < HALVES; i++) {
    double value = get(F16, rows, i);
    right &= isnan(value) ? isnan(out[i]) : out[i] == value;
  }
  report(right, table->name, "every half by", "f16_widen", HALVES, 1);
  free(query);
  free(out);
  free(rows);
}

/// Numbers that order as the distances do.
static void check_candidates(void) {
  static const float distances[] = {-INFINITY, -FLT_MAX, -1, -FLT_TRUE_MIN, 0, FLT_TRUE_MIN, 1, FLT_MAX, INFINITY};
  bool right = vz_candidate(NAN, 7) == vz_candidate(INFINITY, 7) && vz_candidate(1, 7) < vz_candidate(1, 8);
  for (size_t i = 1; i < sizeof distances / sizeof *distances; i++)
    right &= vz_candidate(distances[i - 1], UINT32_MAX) < vz_candidate(distances[i], 0);
  report(right, "all", "order of", "vz_candidate", 1, sizeof distances / sizeof *distances);
}

/// Empty queues of one walk, which stay where they are.
typedef struct {
  _Alignas(64) uint64_t entries[VZ_DEGREE_MAX + VZ_QUEUE_STEP];
  uint64_t spare[VZ_DEGREE_MAX + VZ_QUEUE_STEP], head[2 * VZ_HEAD_MAX + VZ_QUEUE_STEP];
  uint64_t near[VZ_NEAR_MAX + VZ_QUEUE_STEP], far[VZ_DEGREE_MAX + VZ_QUEUE_STEP];
  vz_nearest nearest;
  vz_frontier frontier;
  vz_queues queues;
} own_queues;

static vz_queues *emptied(own_queues *own, const void *links) {
  own->nearest = (vz_nearest){own->entries, own->spare, 0, VZ_DEGREE_MAX, 0, UINT64_MAX, false};
  own->frontier = (vz_frontier){own->head, 0, 0, own->near, 0, UINT64_MAX, UINT64_MAX, own->far, 0, VZ_DEGREE_MAX};
  own->queues = (vz_queues){&own->nearest, &own->frontier, links, 0, true};
  return &own->queues;
}

/// What a hop kept is in the queues, or left; and it says whether it asked for links.
static bool has_taken(const own_queues *own, const uint64_t *came, size_t count, const uint64_t *kept, size_t left) {
  size_t found = 0, there = 0;
  for (size_t i = 0; i < count; i++) {
    if (found < left && kept[found] == came[i]) {
      found++;
      continue;
    }
    for (size_t j = 0; j < own->nearest.count; j++) there += own->nearest.entries[j] == came[i];
  }
  const vz_frontier *frontier = &own->frontier;
  return found == left && there == count - left && own->nearest.count == there &&
         frontier->head_count + frontier->near_count + frontier->far_count == there &&
         own->queues.has_asked == (left == 0 && there > 0);
}

/// A hop keeps what vz_score_below keeps, and gathers each link that was not visited, once, leaving out what has no bit. Two batches
/// are on their way, as in a walk, and stay what they are.
static bool is_hop(const vz_plane *plane, const vz_query *query, size_t count) {
  enum { BITS = ROWS - 3 };
  static uint32_t log[VZ_LOG_ROOM];
  uint64_t bits[ROWS / 64 + 1] = {0};
  bool met[ROWS] = {false}, right = true;
  vz_visited visited = {bits, BITS, log, next() % 3 ? 0 : VZ_LOG_MAX - next_below(100), false};
  uint32_t first[COUNT_MAX], slots[VZ_DEGREE_MAX];
  _Alignas(64) uint32_t links[VZ_DEGREE_MAX];
  float distances[VZ_DEGREE_MAX];
  uint64_t kept[VZ_KEPT_MAX + 1];
  kept[VZ_KEPT_MAX] = 77;
  for (size_t i = 0; i < count; i++) {
    first[i] = (uint32_t)next_below(BITS);
    met[first[i]] = true;
    vz_visit(&visited, first[i]);
    right &= !vz_visit(&visited, first[i]);
  }
  right &= !vz_visit(&visited, BITS);
  vz_batch ready = {first, count}, coming = {first, 0};
  uint32_t expected_coming[VZ_DEGREE_MAX];
  own_queues own;
  for (size_t hop = 0; hop < 40; hop++) {
    size_t degree = 1 + next_below(VZ_DEGREE_MAX), used = next_below(degree + 1), expected = 0;
    // While a row is rewritten, links may stand behind its end; and what stands behind the last is none.
    for (size_t i = 0; i < VZ_DEGREE_MAX; i++)
      links[i] = i < used || i >= degree || next() % 4 == 0 ? (uint32_t)next_below(ROWS) : UINT32_MAX;
    if (used < degree) links[used] = UINT32_MAX;
    float bound = next() % 3 ? 0 : next() % 2 ? INFINITY : -INFINITY;
    for (size_t i = 0; i < ready.count; i++) slots[i] = ready.slots[i];
    size_t left = vz_score_below(plane, query, slots, ready.count, bound, slots, distances);
    vz_batch gathered;
    bool is_end = next() % 8 == 0, takes = plane->hop != vz_hop_plain && next() % 2;
    // The plain hop takes nothing, and says that it has not asked.
    bool is_given = takes || (plane->hop == vz_hop_plain && next() % 2);
    vz_queues *queues = is_given ? emptied(&own, links) : NULL;
    size_t n = vz_hop(plane, query, ready, bound, kept, is_end ? NULL : links, degree, &visited, &gathered, queues);
    right &= kept[VZ_KEPT_MAX] == 77 && (takes || n == left) && (!queues || takes || !queues->has_asked);
    uint64_t came[VZ_DEGREE_MAX];
    for (size_t i = 0; i < left; i++) came[i] = vz_candidate(distances[i], slots[i]);
    right &= takes ? has_taken(&own, came, left, kept, n) : !memcmp(kept, came, left * sizeof *came);
    for (size_t i = 0; !is_end && i < used; i++) {
      if (links[i] >= BITS || met[links[i]]) continue;
      met[links[i]] = true;
      right &= expected < gathered.count && gathered.slots[expected] == links[i];
      expected++;
    }
    right &= gathered.count == expected && visited.log_count <= VZ_LOG_MAX + VZ_DEGREE_MAX;
    right &= coming.count == 0 || !memcmp(coming.slots, expected_coming, coming.count * sizeof *expected_coming);
    ready = coming;
    coming = gathered;
    for (size_t i = 0; i < coming.count; i++) expected_coming[i] = coming.slots[i];
  }
  return right;
}

/// vz_score is its formula; a range, and the rows below a bound, have the distances that vz_score gives them.
static void check_plane(const vz_kernels *table, const kernel *kernel, size_t dimension, size_t count) {
  size_t width = width_of(kernel, dimension), row_bytes = width * bits(kernel->rows) / 8;
  char *numbers = allocate(width * bits(kernel->query) / 8), *rows = allocate(ROWS * row_bytes);
  // Sides as pairs, or scales alone.
  size_t stride = 1 + next() % 2;
  float sides[2 * ROWS], sums[COUNT_MAX], distances[COUNT_MAX], out[COUNT_MAX + 1];
  uint32_t slots[COUNT_MAX], kept[COUNT_MAX + 1];
  fill(kernel->query, numbers, dimension, width, ANYWHERE);
  for (size_t i = 0; i < ROWS; i++) fill(kernel->rows, rows + i * row_bytes, dimension, width, ANYWHERE);
  for (size_t i = 0; i < 2 * ROWS; i++) sides[i] = next_float();
  for (size_t i = 0; i < 3; i++) sides[stride * next_below(ROWS)] = NAN;
  for (size_t i = 0; i < count; i++) slots[i] = kept[i] = (uint32_t)next_below(ROWS);
  vz_plane plane = {rows, row_bytes, sides, stride == 2 ? sides + 1 : NULL, stride, width, function(table, kernel),
                    table->hop};
  vz_query query = {numbers, next_float(), next_float(), next_float(), next_float()};

  plane.sum(numbers, rows, width, slots, count, sums);
  out[count] = 77;
  vz_score(&plane, &query, slots, count, out);
  bool right = out[count] == 77;
  for (size_t i = 0; i < count; i++) {
    double side = sides[stride * slots[i]], other = stride == 2 ? sides[2 * slots[i] + 1] : 0;
    double product = (double)query.factor * sums[i];
    double distance = side * (product + query.shift) + other * query.weight + query.constant;
    double size = fabs(side) * (fabs(product) + fabs(query.shift)) + fabs(other * query.weight) + fabs(query.constant);
    right &= isnan(distance) ? isnan(out[i]) : fabs(out[i] - distance) <= 6 * size * 0x1p-24;
    distances[i] = out[i];
  }

  // The bound is one of the distances, which is not below itself, or none.
  float bound = count > 0 && next() % 4 ? distances[next_below(count)] : INFINITY;
  kept[count] = 77;
  size_t left = vz_score_below(&plane, &query, kept, count, bound, kept, out), expected = 0;
  right &= kept[count] == 77 && out[count] == 77;
  for (size_t i = 0; i < count; i++) {
    if (distances[i] >= bound) continue;
    right &= expected < left && kept[expected] == slots[i] && !memcmp(&out[expected], &distances[i], sizeof *out);
    expected++;
  }
  right &= left == expected;

  size_t first = next_below(ROWS - count + 1);
  for (size_t i = 0; i < count; i++) slots[i] = (uint32_t)(first + i);
  vz_score(&plane, &query, slots, count, distances);
  vz_score_range(&plane, &query, first, count, out);
  right &= out[count] == 77 && !memcmp(out, distances, count * sizeof *out);

  right &= is_hop(&plane, &query, count);
  free(numbers);
  free(rows);
  report(right, table->name, "distances by", kernel->name, dimension, count);
}

static void check(const vz_kernels *table) {
  report(table->hop != NULL, table->name, "there is", "hop", 1, 1);
  if (table->hop != vz_hop_plain) check_queues();
  static const size_t dimensions[] = {1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 384, 1024, 4096};
  static const choice extremes[][2] = {
      {LARGEST, LARGEST}, {LARGEST, SMALLEST}, {SMALLEST, LARGEST}, {SMALLEST, SMALLEST}, {ENDS, ENDS}, {ENDS, LARGEST},
  };
  for (const kernel *kernel = kernels; kernel < kernels + KERNELS; kernel++) {
    for (size_t count = 0; count <= COUNT_MAX; count++)
      for (int named = 0; named < 2; named++)
        for (int round = 0; round < 2; round++)
          check_sums(table, kernel, 1 + next_below(600), count, named, ANYWHERE, ANYWHERE);
    for (size_t d = 0; d < sizeof dimensions / sizeof *dimensions; d++) {
      for (size_t count = 1; count <= 6; count++)
        check_sums(table, kernel, dimensions[d], count, count & 1, ANYWHERE, ANYWHERE);
      for (size_t e = 0; e < sizeof extremes / sizeof *extremes; e++)
        check_sums(table, kernel, dimensions[d], 5, true, extremes[e][0], extremes[e][1]);
    }
    for (size_t count = 0; count <= COUNT_MAX; count++)
      for (int round = 0; round < 2; round++) check_plane(table, kernel, 1 + next_below(300), count);
  }
  check_halves(table);
}

int main(int argc, char **argv) {
#if defined(VZ_EMULATE_X86)
  const vz_kernels *tables[] = {&vz_kernels_avx512vnni, &vz_kernels_avx512, &vz_kernels_avx2, &vz_kernels_scalar};
  size_t count = sizeof tables / sizeof *tables;
#else
  const vz_kernels *tables[VZ_KERNELS_MAX];
  size_t count = vz_kernels_available(tables);
#endif
  bool expected = argc == 1 || count == (size_t)argc - 1;
  for (size_t t = 0; t < count; t++) {
    expected = expected && (argc == 1 || !strcmp(argv[t + 1], tables[t]->name));
    printf("%s%s", t > 0 ? ", " : "", tables[t]->name);
  }
  printf("\n");
  if (!expected) {
    fprintf(stderr, "these are not the tables that there should be\n");
    return 1;
  }
  const char *chosen_seed = getenv("VIZINHO_TEST_SEED");
  uint64_t seed = chosen_seed ? strtoull(chosen_seed, NULL, 10) : 1, last = chosen_seed ? seed : 3;
  for (; seed <= last; seed++) {
    printf("seed %llu\n", (unsigned long long)seed);
    state = seed;
    for (size_t t = 0; t < count; t++) check(tables[t]);
    check_candidates();
  }
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
