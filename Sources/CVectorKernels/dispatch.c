// Which kernels this CPU can run. Asked once, at start; nothing here is on the hot path.
//
// May use: on x86 the compiler's CPU detection, which also checks (xgetbv) that the operating system saves the wide
// registers; on arm64 what the kernel tells each program about the CPU.

#include "kernels_internal.h"

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

size_t vz_kernels_available(const vz_kernels **tables) {
  size_t count = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) {
    if (__builtin_cpu_supports("avx512vnni")) tables[count++] = &vz_kernels_avx512vnni;
    tables[count++] = &vz_kernels_avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"))
    tables[count++] = &vz_kernels_avx2;
#elif defined(__aarch64__)
  if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) tables[count++] = &vz_kernels_neondot;
  tables[count++] = &vz_kernels_neon;
#endif
  tables[count++] = &vz_kernels_scalar;
  return count;
}
