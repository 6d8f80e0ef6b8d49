/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Which member a new flow goes to: the service's choice picks a slot of the pool's lookup table.
 *
 * The hash. All arithmetic is modulo 2^32; words are the bytes of a packet read as little-endian
 * integers, so that every unit computes the same. IPv4 addresses are their one word, IPv6 four.
 * With mix(h, w) = rotl(h ^ (w * 0xcc9e2d51), 15) * 0x1b873593 and
 * fold(v, w) = v ^ rotl(w * 0x85ebca77, 13), of source s and destination d:
 *
 *     e = fold(the last word of d, source port | destination port << 16)
 *     b = seed ^ (protocol * 0x9e3779b1)
 *     IPv4:  a = mix(seed, s)                                   b = mix(b, e)
 *     IPv6:  a = mix(mix(seed, fold(s0, s1)), fold(s2, s3))     b = mix(mix(b, fold(d0, d1)), fold(d2, e))
 *     h = mix(a, b)
 *     h ^= h >> 16; h *= 0x85ebca6b; h ^= h >> 13; h *= 0xc2b2ae35; h ^= h >> 16
 *
 * WEIR_CHOICE_SOURCE_HASH takes h = a; WEIR_CHOICE_PAIR_HASH takes the last word of d for e, and
 * begins b with the seed alone. mix and fold are bijections in each argument; what waits for each
 * other is short, because a processor waits longest here: folds and both addresses run side by
 * side. The last line is the 32-bit finaliser of MurmurHash3. The slot is (h * slots) >> 32, which
 * costs no division.
 * Invariant: appliance/balance/flow-hash.ts computes the same; units of a pair and restarted
 * programs agree by it.
 */
#ifndef WEIR_LOOKUP_H
#define WEIR_LOOKUP_H

#include "count.h"
#include "maps.h"
#include "parse.h"

#define WEIR_HASH_WORD 0xcc9e2d51U
#define WEIR_HASH_STATE 0x1b873593U
#define WEIR_HASH_FOLD 0x85ebca77U
#define WEIR_HASH_PROTOCOL 0x9e3779b1U
#define WEIR_HASH_FINAL_1 0x85ebca6bU
#define WEIR_HASH_FINAL_2 0xc2b2ae35U

/* Members that WEIR_CHOICE_LEAST compares; of more, as many at random places. */
#define WEIR_LEAST_ALL 256
#define WEIR_LEAST_SAMPLE 32

static __always_inline __u32 hash_mix(__u32 state, __u32 word)
{
	state ^= word * WEIR_HASH_WORD;
	state = state << 15 | state >> 17;
	return state * WEIR_HASH_STATE;
}

static __always_inline __u32 hash_fold(__u32 word, __u32 other)
{
	other *= WEIR_HASH_FOLD;
	return word ^ (other << 13 | other >> 19);
}

static __always_inline __u32 hash_flow(const struct weir_flow_key *flow, __u32 choice, __u32 seed,
				       const int ipv6)
{
	const __u32 *s = flow->source.word, *d = flow->destination.word;
	__u32 a = seed, b = seed, end = d[3];

	a = ipv6 ? hash_mix(hash_mix(a, hash_fold(s[0], s[1])), hash_fold(s[2], s[3])) :
		   hash_mix(a, s[3]);
	if (choice != WEIR_CHOICE_SOURCE_HASH) {
		if (choice != WEIR_CHOICE_PAIR_HASH) {
			b ^= flow->protocol * WEIR_HASH_PROTOCOL;
			end = hash_fold(end, *(const move32 *)&flow->source_port);
		}
		b = ipv6 ? hash_mix(hash_mix(b, hash_fold(d[0], d[1])), hash_fold(d[2], end)) :
			   hash_mix(b, end);
		a = hash_mix(a, b);
	}
	a ^= a >> 16;
	a *= WEIR_HASH_FINAL_1;
	a ^= a >> 13;
	a *= WEIR_HASH_FINAL_2;
	return a ^ a >> 16;
}

/* Both halves of a slot as they were at one moment: member, and from bit 32 on the previous one. */
static __always_inline __u64 slot_read(__u32 first_chunk, __u32 slot)
{
	__u32 row = first_chunk + slot / WEIR_CHUNK_SLOTS;
	struct weir_chunk *chunk = bpf_map_lookup_elem(&lookup, &row);

	if (!chunk)
		return 0;
	return *(volatile move64 *)&chunk->slot[slot % WEIR_CHUNK_SLOTS];
}

static __always_inline __u32 slot_of(__u32 hash, __u32 slots)
{
	return (__u64)hash * slots >> 32;
}

struct least {
	__u32 first_chunk;
	__u32 slots;
	__u32 at;
	__u32 sample;
	__u32 row;    /* the best one so far */
	__u32 active; /* its active flows, and one more */
	__u32 weight;
};

static long least_compare(__u32 index, void *context)
{
	struct least *least = context;
	__u32 slot = least->at + index;
	__u32 row, *active;
	struct weir_member *member;
	__u32 flows;

	if (least->sample)
		slot = slot_of(bpf_get_prandom_u32(), least->slots);
	else if (slot >= least->slots)
		slot -= least->slots;
	row = slot_read(least->first_chunk, slot);
	member = bpf_map_lookup_elem(&members, &row);
	active = bpf_map_lookup_elem(&member_active, &row);
	if (!member || !active || member->state != WEIR_MEMBER_SERVING || !member->weight)
		return 0;
	flows = *active + 1;
	/* flows / weight < least->active / least->weight, without a division. */
	if (!least->row ||
	    (__u64)flows * least->weight < (__u64)least->active * member->weight) {
		least->row = row;
		least->active = flows;
		least->weight = member->weight;
	}
	return 0;
}

/* Beginning at another member each time, so that equals take turns. */
__noinline int choose_least(const struct weir_service *service, __u32 turn)
{
	struct least least = {};
	struct weir_member *nobody;
	__u32 row = 0;

	if (!service || !service->slots)
		return 0;
	nobody = bpf_map_lookup_elem(&members, &row);
	if (!nobody)
		return 0;
	/*
	 * Zeros that a verifier does not know to be any: before 6.7 it goes through a callback once,
	 * and takes out what cannot happen with the context that it begins with.
	 */
	least.row = nobody->state;
	least.active = nobody->interface;
	least.weight = nobody->weight;
	least.first_chunk = service->first_chunk;
	least.slots = service->slots;
	least.at = turn % least.slots;
	least.sample = least.slots > WEIR_LEAST_ALL;
	bpf_loop(least.sample ? WEIR_LEAST_SAMPLE : least.slots, least_compare, &least, 0);
	return least.row;
}

/* The row of the member that a new flow goes to by the algorithm alone; 0 when there is none. */
__noinline int choose_member(const struct weir_service *service, __u32 hash)
{
	__u32 id, slot, turn, *cursor;

	if (!service || !service->slots)
		return 0;
	if (service->choice <= WEIR_CHOICE_PAIR_HASH) {
		slot = slot_of(hash, service->slots);
	} else if (service->choice == WEIR_CHOICE_RANDOM) {
		slot = slot_of(bpf_get_prandom_u32(), service->slots);
	} else {
		id = service->id;
		cursor = bpf_map_lookup_elem(&cursors, &id);
		if (!cursor)
			return 0;
		turn = __sync_fetch_and_add(cursor, 1);
		if (service->choice == WEIR_CHOICE_LEAST)
			return choose_least(service, turn);
		slot = turn % service->slots;
	}
	return slot_read(service->first_chunk, slot);
}

#endif
