// The loop over rows, written once: a file of one instruction set says what a line of a row adds to a sum, and expands it.
//
// Four rows at a time share each load of the query, and so do the one to three that are left. Rows are whole 64-byte lines,
// so nothing else has a tail. The sum of a row does not depend on which rows stand beside it.
//
// May use: the C library's memcpy; what the file that includes this defines before it expands a macro.
#pragma once

#include <stdbool.h>
#include <string.h>

#include "kernels_internal.h"

// The kernel `name`, whose query is of `QUERY`, and whose rows hold `NUMBERS` numbers a line.
//
//     SUM LINE(SUM sum, const QUERY *query, const char *row)      adds one line; sums begin as `ZERO`
//     void STORE(const SUM sums[4], float out[4])
//
// With `AHEAD`, each line of the next four rows is asked for while that of these four is summed: the addresses are known,
// and a row that lies in memory costs more than its arithmetic. `n` is a constant wherever `name_some` is expanded.
#define VZ_KERNEL(TARGET, name, QUERY, NUMBERS, SUM, ZERO, LINE, STORE, AHEAD)                                        \
  TARGET static inline __attribute__((always_inline)) void name##_some(                                               \
      const QUERY *query, const void *rows, size_t lines, const uint32_t *slots, size_t i, size_t count, size_t n,    \
      float *out) {                                                                                                   \
    const char *row[4], *next[4];                                                                                     \
    SUM sums[4] = {ZERO, ZERO, ZERO, ZERO};                                                                           \
    for (size_t r = 0; r < n; r++) {                                                                                  \
      row[r] = vz_row(rows, lines * 64, slots, i + r);                                                                \
      next[r] = vz_row(rows, lines * 64, slots, i + 4 + r < count ? i + 4 + r : count - 1);                           \
    }                                                                                                                 \
    for (size_t l = 0; l < lines; l++) {                                                                              \
      for (size_t r = 0; AHEAD && n == 4 && r < n; r++) vz_prefetch(next[r] + l * 64);                                \
      for (size_t r = 0; r < n; r++) sums[r] = LINE(sums[r], query + l * (NUMBERS), row[r] + l * 64);                 \
    }                                                                                                                 \
    if (n == 4) {                                                                                                     \
      STORE(sums, out + i);                                                                                           \
    } else {                                                                                                          \
      float four[4];                                                                                                  \
      STORE(sums, four);                                                                                              \
      memcpy(out + i, four, n * sizeof *out);                                                                         \
    }                                                                                                                 \
  }                                                                                                                   \
                                                                                                                      \
  TARGET static void name(const void *query, const void *rows, size_t width, const uint32_t *slots, size_t count,     \
                          float *out) {                                                                               \
    size_t lines = width / (NUMBERS), i = 0;                                                                          \
    for (; i + 4 <= count; i += 4) name##_some(query, rows, lines, slots, i, count, 4, out);                          \
    switch (count - i) {                                                                                              \
    case 3: name##_some(query, rows, lines, slots, i, count, 3, out); break;                                          \
    case 2: name##_some(query, rows, lines, slots, i, count, 2, out); break;                                          \
    case 1: name##_some(query, rows, lines, slots, i, count, 1, out); break;                                          \
    }                                                                                                                 \
  }

// A kernel on floats, for rows of `BYTES` a number. A file defines what all of its kernels share:
//
//     sixteen                                                    16 floats
//     sixteen load_f32(const void *numbers)
//     float_sums, float_sums no_floats(void)
//     void store_floats(const float_sums sums[4], float *out)
//
// and what is this one's: LOAD, which reads 16 numbers of a row as floats, and
//
//     float_sums STEP(float_sums sum, sixteen query, sixteen row)
#define VZ_FLOAT_KERNEL(TARGET, name, STEP, LOAD, BYTES)                                                              \
  TARGET static inline __attribute__((always_inline)) float_sums name##_line(float_sums sum, const float *query,      \
                                                                             const char *row) {                       \
    for (size_t j = 0; j < 64 / BYTES; j += 16) sum = STEP(sum, load_f32(query + j), LOAD(row + j * BYTES));          \
    return sum;                                                                                                       \
  }                                                                                                                   \
  VZ_KERNEL(TARGET, name, float, 64 / BYTES, float_sums, no_floats(), name##_line, store_floats, true)

// What writes halves as floats. A file defines LOAD as above, for halves, and
//
//     void store_sixteen(float *out, sixteen numbers)
#define VZ_WIDEN(TARGET, name, LOAD)                                                                                  \
  TARGET static void name(const void *row, size_t width, float *out) {                                                \
    for (size_t j = 0; j < width; j += 16) store_sixteen(out + j, LOAD((const char *)row + j * 2));                   \
  }

// A kernel on integers, for rows of `NUMBERS` numbers a line. A file defines, likewise:
//
//     integers, integers no_integers(void)                       sums of 32 bits
//     void store_integers(const integers sums[4], float *out)
//
// A search asks for its rows before it has them scored, so nothing is asked for ahead.
#define VZ_INTEGER_KERNEL(TARGET, name, LINE, NUMBERS)                                                                \
  VZ_KERNEL(TARGET, name, int8_t, NUMBERS, integers, no_integers(), LINE, store_integers, false)
