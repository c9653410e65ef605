// Kernels of processors that this machine is not, against sums in double precision: run under qemu-user or with their
// instructions emulated. The bound is that of KernelTests.swift.
//
//   check_kernels NAME...      the tables to check: scalar, avx2, avx512, neon
//
// Prints `N passed, N failed` and exits with 1 when any failed.

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../Sources/CVectorKernels/kernels_internal.h"

static uint64_t state = 1;

static float next_float(void) {
  uint64_t z = state += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return (float)((double)(z >> 11) * 0x1p-52 - 1);
}

static const vz_kernels *find(const char *name) {
  if (!strcmp(name, "scalar")) return &vz_kernels_scalar;
#if defined(VZ_EMULATE_X86)
  if (!strcmp(name, "avx2")) return &vz_kernels_avx2;
  if (!strcmp(name, "avx512")) return &vz_kernels_avx512;
#endif
#if defined(__aarch64__)
  if (!strcmp(name, "neon")) return &vz_kernels_neon;
#endif
  return NULL;
}

enum { ROWS = 40, COUNT_MAX = 33 };

static int check(const vz_kernels *kernels, size_t dimension, size_t count, int named) {
  size_t width = (dimension + 15) / 16 * 16;
  float *query = aligned_alloc(64, width * 4), *rows = aligned_alloc(64, ROWS * width * 4);
  uint32_t slots[COUNT_MAX];
  float products[COUNT_MAX + 1], squares[COUNT_MAX + 1];
  if (!query || !rows) abort();
  for (size_t j = 0; j < width; j++) query[j] = j < dimension ? next_float() : 0;
  for (size_t i = 0; i < ROWS * width; i++) rows[i] = i % width < dimension ? next_float() : 0;
  for (size_t i = 0; i < count; i++) slots[i] = (uint32_t)((next_float() + 1) / 2 * (ROWS - 1));
  products[count] = squares[count] = 77;
  kernels->inner_product(query, rows, width, named ? slots : NULL, count, products);
  kernels->squared_l2(query, rows, width, named ? slots : NULL, count, squares);
  int failures = products[count] != 77 || squares[count] != 77;
  for (size_t i = 0; i < count; i++) {
    const float *row = rows + (named ? slots[i] : i) * width;
    double product = 0, square = 0, size = 0;
    for (size_t j = 0; j < width; j++) {
      double a = query[j], b = row[j];
      product += a * b;
      square += (a - b) * (a - b);
      size += fabs(a * b);
    }
    failures += !(fabs(products[i] - product) <= size * width * 0x1p-24 + 1e-30);
    failures += !(fabs(squares[i] - square) <= 4 * square * width * 0x1p-24 + 1e-30);
  }
  free(query);
  free(rows);
  if (failures) fprintf(stderr, "%s: dimension %zu, %zu rows%s: wrong\n", kernels->name, dimension, count, named ? ", named" : "");
  return failures != 0;
}

int main(int argc, char **argv) {
  static const size_t dimensions[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 127, 384, 768, 1536, 4096};
  static const size_t counts[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 33};
  int passed = 0, failed = 0;
  for (int a = 1; a < argc; a++) {
    const vz_kernels *kernels = find(argv[a]);
    if (!kernels) {
      fprintf(stderr, "%s: not in this build\n", argv[a]);
      failed++;
      continue;
    }
    for (size_t d = 0; d < sizeof dimensions / sizeof *dimensions; d++)
      for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        for (int named = 0; named < 2; named++)
          if (check(kernels, dimensions[d], counts[c], named)) failed++;
          else passed++;
  }
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
