/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Which member a new flow goes to: a hash of the flow picks a slot of the pool's lookup table.
 * Further algorithms find their place beside choose_member.
 *
 * The hash. All arithmetic is modulo 2^32; words are the bytes of a packet read as little-endian
 * integers, so that every unit computes the same. With mix(h, w) =
 * rotl(h ^ (w * 0xcc9e2d51), 15) * 0x1b873593:
 *
 *     a = seed;                              then a = mix(a, source word 0 … 3)
 *     b = seed ^ (protocol * 0x9e3779b1);    then b = mix(b, destination word 0 … 3)
 *     h = mix(mix(a, b), source port | destination port << 16)
 *     h ^= h >> 16; h *= 0x85ebca6b; h ^= h >> 13; h *= 0xc2b2ae35; h ^= h >> 16
 *
 * mix is a bijection in each argument, the two addresses run side by side in the processor, and
 * the last line is the 32-bit finaliser of MurmurHash3. The slot is (h * slots) >> 32, which
 * costs no division. Invariant: appliance/balance/flow-hash.ts computes the same; units of a
 * pair and restarted programs agree by it, so it is never changed.
 */
#ifndef WEIR_LOOKUP_H
#define WEIR_LOOKUP_H

#include "maps.h"

#define WEIR_HASH_WORD 0xcc9e2d51U
#define WEIR_HASH_STATE 0x1b873593U
#define WEIR_HASH_PROTOCOL 0x9e3779b1U
#define WEIR_HASH_FINAL_1 0x85ebca6bU
#define WEIR_HASH_FINAL_2 0xc2b2ae35U

static __always_inline __u32 hash_mix(__u32 state, __u32 word)
{
	state ^= word * WEIR_HASH_WORD;
	state = state << 15 | state >> 17;
	return state * WEIR_HASH_STATE;
}

static __always_inline __u32 hash_flow(const struct weir_flow_key *flow, __u32 seed)
{
	__u32 a = seed;
	__u32 b = seed ^ flow->protocol * WEIR_HASH_PROTOCOL;

	for (int i = 0; i < 4; i++) {
		a = hash_mix(a, flow->source.word[i]);
		b = hash_mix(b, flow->destination.word[i]);
	}
	a = hash_mix(a, b);
	a = hash_mix(a, flow->source_port | (__u32)flow->destination_port << 16);
	a ^= a >> 16;
	a *= WEIR_HASH_FINAL_1;
	a ^= a >> 13;
	a *= WEIR_HASH_FINAL_2;
	return a ^ a >> 16;
}

/* Row of the member that a new flow goes to; 0 when the pool has none. */
static __always_inline __u32 choose_member(const struct weir_flow_key *flow,
					   const struct weir_service *service)
{
	__u32 row = 0, slot, chunk_row;
	struct weir_settings *tuning = bpf_map_lookup_elem(&settings, &row);
	struct weir_chunk *chunk;

	if (!tuning || !service->slots)
		return 0;
	slot = (__u64)hash_flow(flow, tuning->hash_seed) * service->slots >> 32;
	chunk_row = service->first_chunk + slot / WEIR_CHUNK_SLOTS;
	chunk = bpf_map_lookup_elem(&lookup, &chunk_row);
	if (!chunk)
		return 0;
	return chunk->member[slot % WEIR_CHUNK_SLOTS];
}

#endif
