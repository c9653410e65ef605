// CRC-32C (Castagnoli), the checksum of iSCSI (RFC 3720), ext4 and the snapshot file; and MD5 (RFC 1321), which Postgres can compute as well.
//
// CRC-32C is in C because Swift cannot compile one function for several instruction sets, and the CRC instruction of x86-64 and
// ARMv8 is about ten times as fast as tables. The variant is chosen once, at the first call.
//
// May use: the standard library's types.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The ways to compute the one checksum. All give the same result.
typedef enum {
  /// Eight tables, eight bytes a step; runs everywhere.
  VZ_CRC32C_TABLE = 0,
  /// The `crc32` instruction of SSE4.2.
  VZ_CRC32C_SSE42 = 1,
  /// The `crc32c` instructions of ARMv8.
  VZ_CRC32C_ARMV8 = 2,
} vz_crc32c_variant;

/// The CRC-32C of `count` bytes, continuing from `crc`; begin with 0. Uses the fastest variant that this CPU can run.
uint32_t vz_crc32c(uint32_t crc, const void *_Nullable bytes, size_t count);

/// Whether this build has the variant and this CPU can run it.
bool vz_crc32c_is_supported(vz_crc32c_variant variant);

/// The checksum by one given variant, for the tests that compare them. The variant must be supported.
uint32_t vz_crc32c_by(vz_crc32c_variant variant, uint32_t crc, const void *_Nullable bytes, size_t count);

/// Writes the MD5 of `count` bytes, 16 bytes. A fingerprint, not a protection: whoever wants to can make two inputs of one digest.
void vz_md5(const void *_Nullable bytes, size_t count, unsigned char *_Nonnull digest);

#ifdef __cplusplus
}
#endif
