// MD5 (RFC 1321), for fingerprints that Postgres can compute as well: its md5() is there in every version, without an extension.
//
// Not for secrets, against which it is broken. One pass, no state kept: whoever calls has all the bytes.
//
// May use: nothing but the standard library.

#include "checksum.h"

#include <string.h>

#define BLOCK 64

// The whole part of 2^32 · |sin(i + 1)|.
static const uint32_t sines[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

// How the three other words are mixed in each of the four rounds; the first two save an operation over the RFC's way to write them.
#define CHOOSE(b, c, d) ((d) ^ ((b) & ((c) ^ (d))))
#define CHOOSE_BY_LAST(b, c, d) ((c) ^ ((d) & ((b) ^ (c))))
#define PARITY(b, c, d) ((b) ^ (c) ^ (d))
#define ODD(b, c, d) ((c) ^ ((b) | ~(d)))

// One of the 64 steps: number i, with the block's word w, turned left by s bits.
#define STEP(mix, a, b, c, d, i, w, s)             \
  a += mix(b, c, d) + sines[i] + words[(w) & 15];  \
  a = (b) + (a << (s) | a >> (32 - (s)))

// Sixteen steps, of which word `factor · i + first` is each one's.
#define ROUND(mix, start, factor, first, s0, s1, s2, s3)                                   \
  for (int i = 0; i < 16; i += 4) {                                                        \
    STEP(mix, a, b, c, d, (start) + i, (factor)*i + (first), s0);                          \
    STEP(mix, d, a, b, c, (start) + i + 1, (factor) * (i + 1) + (first), s1);              \
    STEP(mix, c, d, a, b, (start) + i + 2, (factor) * (i + 2) + (first), s2);              \
    STEP(mix, b, c, d, a, (start) + i + 3, (factor) * (i + 3) + (first), s3);              \
  }

static void take_block(uint32_t state[4], const unsigned char *p) {
  uint32_t words[16];
  for (int i = 0; i < 16; i++, p += 4) {
    words[i] = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
  }
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  ROUND(CHOOSE, 0, 1, 0, 7, 12, 17, 22)
  ROUND(CHOOSE_BY_LAST, 16, 5, 1, 5, 9, 14, 20)
  ROUND(PARITY, 32, 3, 5, 4, 11, 16, 23)
  ROUND(ODD, 48, 7, 0, 6, 10, 15, 21)
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
}

void vz_md5(const void *bytes, size_t count, unsigned char digest[16]) {
  uint32_t state[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  const unsigned char *p = bytes;
  size_t left = count;
  for (; left >= BLOCK; p += BLOCK, left -= BLOCK) take_block(state, p);
  // What is left, a bit that ends it, zeros, and the length in bits: one block or two.
  unsigned char last[2 * BLOCK] = {0};
  if (left > 0) memcpy(last, p, left);
  last[left] = 0x80;
  const size_t padded = left + 9 <= BLOCK ? BLOCK : 2 * BLOCK;
  const uint64_t bits = (uint64_t)count << 3;
  for (int i = 0; i < 8; i++) last[padded - 8 + i] = (unsigned char)(bits >> 8 * i);
  take_block(state, last);
  if (padded > BLOCK) take_block(state, last + BLOCK);
  for (int i = 0; i < 16; i++) digest[i] = (unsigned char)(state[i / 4] >> 8 * (i % 4));
}
