/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Looking up what is known of a packet in the tables.
 *
 * Invariant: a key lies on the stack or in a table. A verifier of 6.1 takes none from a structure
 * that a function of its own (one that is not static) was given, so what stands in `facts` is
 * copied before it is looked up.
 */
#ifndef WEIR_FIND_H
#define WEIR_FIND_H

#include "maps.h"
#include "parse.h"

static __always_inline int address_differs(const struct weir_address *one,
					   const struct weir_address *other)
{
	const move64 *a = (const move64 *)one, *b = (const move64 *)other;

	return a[0] != b[0] || a[1] != b[1];
}

static __always_inline void flow_key_copy(struct weir_flow_key *to,
					  const struct weir_flow_key *from)
{
	address_copy(&to->source, &from->source);
	address_copy(&to->destination, &from->destination);
	*(move64 *)&to->source_port = *(const move64 *)&from->source_port;
}

/* The entry of this tuple. No inline: the key would lie on every caller's stack until it returns. */
static __noinline struct weir_flow *flow_find(const struct weir_flow_key *flow)
{
	struct weir_flow_key key __attribute__((aligned(8)));

	flow_key_copy(&key, flow);
	return bpf_map_lookup_elem(&flows, &key);
}

/* The flags of a service address; 0: it is none. */
static __always_inline __u32 *address_find(const struct weir_address *address)
{
	struct weir_address key __attribute__((aligned(8)));

	address_copy(&key, address);
	return bpf_map_lookup_elem(&addresses, &key);
}

#endif
