// CRC-32C: tables, the instruction of SSE4.2, the instructions of ARMv8, and the choice between them.
//
// The instruction takes three cycles but a new one can start every cycle, so long inputs are cut into three lanes that
// are computed side by side. The lanes are joined by moving a register over the zero bytes of the lanes that follow it:
// a linear map, kept as four tables of 256 words.
//
// May use: pthread_once; <nmmintrin.h> and <arm_acle.h>, under target attributes; on arm64 what the kernel tells each program
// about the CPU.

#include "checksum.h"

#include <pthread.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
#endif

// The polynomial 0x1EDC6F41 with its bits reversed.
#define POLYNOMIAL 0x82F63B78u
// Bytes a lane. Long lanes amortise the joining; the short ones serve the rest. Both are multiples of 8.
#define LANE_LONG 4096
#define LANE_SHORT 256

// bytes_ahead[k][b]: the register after byte b and then k zero bytes.
static uint32_t bytes_ahead[8][256];
// over_*[k][b]: the register b << 8k, moved over one lane of zero bytes.
static uint32_t over_long[4][256];
static uint32_t over_short[4][256];
static vz_crc32c_variant chosen;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint32_t over(uint32_t table[4][256], uint32_t crc) {
  return table[0][crc & 0xFF] ^ table[1][crc >> 8 & 0xFF] ^ table[2][crc >> 16 & 0xFF] ^ table[3][crc >> 24];
}

static void fill_over(uint32_t table[4][256], size_t lane_bytes) {
  uint32_t moved[32];
  for (int bit = 0; bit < 32; bit++) {
    uint32_t crc = 1u << bit;
    for (size_t i = 0; i < lane_bytes; i++) crc = bytes_ahead[0][crc & 0xFF] ^ crc >> 8;
    moved[bit] = crc;
  }
  for (int k = 0; k < 4; k++) {
    for (uint32_t b = 0; b < 256; b++) {
      uint32_t crc = 0;
      for (int bit = 0; bit < 8; bit++) {
        if (b >> bit & 1) crc ^= moved[8 * k + bit];
      }
      table[k][b] = crc;
    }
  }
}

bool vz_crc32c_is_supported(vz_crc32c_variant variant) {
  switch (variant) {
    case VZ_CRC32C_TABLE:
      return true;
    case VZ_CRC32C_SSE42:
#if defined(__x86_64__)
      __builtin_cpu_init();
      return __builtin_cpu_supports("sse4.2");
#else
      return false;
#endif
    case VZ_CRC32C_ARMV8:
#if defined(__aarch64__)
      return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
#else
      return false;
#endif
  }
  return false;
}

static void prepare(void) {
  for (uint32_t b = 0; b < 256; b++) {
    uint32_t crc = b;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
    bytes_ahead[0][b] = crc;
  }
  for (int k = 1; k < 8; k++) {
    for (uint32_t b = 0; b < 256; b++) {
      uint32_t crc = bytes_ahead[k - 1][b];
      bytes_ahead[k][b] = bytes_ahead[0][crc & 0xFF] ^ crc >> 8;
    }
  }
  fill_over(over_long, LANE_LONG);
  fill_over(over_short, LANE_SHORT);
  if (vz_crc32c_is_supported(VZ_CRC32C_SSE42)) {
    chosen = VZ_CRC32C_SSE42;
  } else if (vz_crc32c_is_supported(VZ_CRC32C_ARMV8)) {
    chosen = VZ_CRC32C_ARMV8;
  } else {
    chosen = VZ_CRC32C_TABLE;
  }
}

static uint32_t by_table(uint32_t crc, const unsigned char *p, size_t count) {
  for (; count >= 8; p += 8, count -= 8) {
    const uint32_t low = crc ^ (p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
    crc = bytes_ahead[7][low & 0xFF] ^ bytes_ahead[6][low >> 8 & 0xFF] ^ bytes_ahead[5][low >> 16 & 0xFF] ^
          bytes_ahead[4][low >> 24] ^ bytes_ahead[3][p[4]] ^ bytes_ahead[2][p[5]] ^ bytes_ahead[1][p[6]] ^
          bytes_ahead[0][p[7]];
  }
  for (; count > 0; p++, count--) crc = bytes_ahead[0][(crc ^ *p) & 0xFF] ^ crc >> 8;
  return crc;
}

#if defined(__x86_64__) || defined(__aarch64__)

#if defined(__x86_64__)
#define WITH_CRC __attribute__((target("sse4.2")))
WITH_CRC static inline uint32_t step8(uint32_t crc, uint64_t word) { return (uint32_t)_mm_crc32_u64(crc, word); }
WITH_CRC static inline uint32_t step1(uint32_t crc, unsigned char byte) { return _mm_crc32_u8(crc, byte); }
#else
#define WITH_CRC __attribute__((target("+crc")))
WITH_CRC static inline uint32_t step8(uint32_t crc, uint64_t word) { return __crc32cd(crc, word); }
WITH_CRC static inline uint32_t step1(uint32_t crc, unsigned char byte) { return __crc32cb(crc, byte); }
#endif

// Eight bytes in memory order, wherever they lie; both instruction sets run little-endian here.
static inline uint64_t word_at(const unsigned char *p) {
  uint64_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

WITH_CRC static inline uint32_t three_lanes(
    uint32_t crc, const unsigned char *p, size_t lane_bytes, uint32_t table[4][256]) {
  uint32_t second = 0;
  uint32_t third = 0;
  for (size_t i = 0; i < lane_bytes; i += 8) {
    crc = step8(crc, word_at(p + i));
    second = step8(second, word_at(p + lane_bytes + i));
    third = step8(third, word_at(p + 2 * lane_bytes + i));
  }
  return over(table, over(table, crc) ^ second) ^ third;
}

WITH_CRC static uint32_t by_instruction(uint32_t crc, const unsigned char *p, size_t count) {
  for (; count >= 3 * LANE_LONG; p += 3 * LANE_LONG, count -= 3 * LANE_LONG) {
    crc = three_lanes(crc, p, LANE_LONG, over_long);
  }
  for (; count >= 3 * LANE_SHORT; p += 3 * LANE_SHORT, count -= 3 * LANE_SHORT) {
    crc = three_lanes(crc, p, LANE_SHORT, over_short);
  }
  for (; count >= 8; p += 8, count -= 8) crc = step8(crc, word_at(p));
  for (; count > 0; p++, count--) crc = step1(crc, *p);
  return crc;
}

#else

static uint32_t by_instruction(uint32_t crc, const unsigned char *p, size_t count) { return by_table(crc, p, count); }

#endif

uint32_t vz_crc32c_by(vz_crc32c_variant variant, uint32_t crc, const void *bytes, size_t count) {
  pthread_once(&once, prepare);
  crc = ~crc;
  crc = variant == VZ_CRC32C_TABLE ? by_table(crc, bytes, count) : by_instruction(crc, bytes, count);
  return ~crc;
}

uint32_t vz_crc32c(uint32_t crc, const void *bytes, size_t count) {
  pthread_once(&once, prepare);
  return vz_crc32c_by(chosen, crc, bytes, count);
}
