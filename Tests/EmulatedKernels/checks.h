// What the checks share. See check_kernels.c.
//
// May use: the standard library's types.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Counts a check, and says which one was wrong.
void report(bool right, const char *table, const char *what, const char *kernel, size_t dimension, size_t count);

/// Seeded random numbers.
uint64_t next(void);
size_t next_below(size_t bound);

/// Of the tables with AVX-512: their queues (check_queues.c).
void check_queues(void);
