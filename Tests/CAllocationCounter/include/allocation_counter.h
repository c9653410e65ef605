// Counts what a thread allocates, in the program that this is linked into.
#pragma once

#include <stdint.h>

/// How many blocks the calling thread has asked for since it began: by malloc, calloc, realloc and the aligned ones, from
/// whatever language. 0 for ever where nothing is counted.
uint64_t allocation_count(void);

/// Whether anything is counted. Not under a sanitizer, which has an allocator of its own.
int allocation_counting(void);
