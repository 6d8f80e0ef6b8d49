/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Internet checksums, changed along with the fields that they cover (RFC 1624, equation 3).
 * Invariant: sums are taken over 32-bit words in network order, which one's complement
 * addition allows (RFC 1071 §2 B), and folded once at the end. A wrong checksum stays wrong:
 * nothing here repairs what arrived broken.
 */
#ifndef WEIR_CHECKSUM_H
#define WEIR_CHECKSUM_H

#include "parse.h"

/* A change to a sum: what leaves it and what enters. Starts at 0. */
static __always_inline __u64 checksum_replace32(__u64 change, __be32 from, __be32 to)
{
	return change + (__u32)~from + (__u32)to;
}

static __always_inline __u64 checksum_replace16(__u64 change, __be16 from, __be16 to)
{
	return change + (__u16)~from + (__u16)to;
}

static __always_inline __u64 checksum_replace_address(__u64 change, const struct weir_address *from,
						       const struct weir_address *to)
{
	for (int i = 0; i < 4; i++)
		change = checksum_replace32(change, from->word[i], to->word[i]);
	return change;
}

/* The checksum after the change. */
static __always_inline __u16 checksum_apply(__u16 checksum, __u64 change)
{
	__u64 sum = change + (__u16)~checksum;

	/* At most ten words: below 2^36, then below 2^32 + 16, so two folds leave no carry. */
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline __u16 checksum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline __u64 checksum_address(const struct weir_address *address)
{
	return (__u64)address->word[0] + address->word[1] + address->word[2] + address->word[3];
}

/* The checksum of an IPv4 header without options whose own is zero. */
static __always_inline __u16 ipv4_sum(const struct iphdr *ip)
{
	const move32 *word = (const move32 *)ip;

	return checksum_fold((__u64)word[0] + word[1] + word[2] + word[3] + word[4]);
}

#endif
