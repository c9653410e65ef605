// Which kernels this CPU can run. Asked once, at start; nothing here is on the hot path.
//
// May use: the compiler's CPU detection, which also checks (xgetbv) that the operating system saves the wide registers.

#include "kernels_internal.h"

size_t vz_kernels_available(const vz_kernels **tables) {
  size_t count = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) tables[count++] = &vz_kernels_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"))
    tables[count++] = &vz_kernels_avx2;
#elif defined(__aarch64__)
  tables[count++] = &vz_kernels_neon;
#endif
  tables[count++] = &vz_kernels_scalar;
  return count;
}
