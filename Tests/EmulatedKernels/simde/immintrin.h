// Stands in for the compiler's header: the same names, emulated in portable C by SIMDe.
#pragma once
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/fma.h>

// What SIMDe 0.7 does not have: the compiler's own definition is a sequence of additions, too.
static inline float vz_emulated_reduce_add(__m512 v) {
  float lanes[16], sum = 0;
  _mm512_storeu_ps(lanes, v);
  for (int i = 0; i < 16; i++) sum += lanes[i];
  return sum;
}
#define _mm512_reduce_add_ps vz_emulated_reduce_add
