/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * A walk over the flow table in pieces (struct weir_walk_keys in tables.h), each a run of its own.
 */
#ifndef WEIR_WALK_H
#define WEIR_WALK_H

#include "maps.h"

static __always_inline struct weir_walk_keys *walk_piece(__u32 walker)
{
	return bpf_map_lookup_elem(&walk_keys, &walker);
}

/* The entry of a key, which is copied; none when it has gone since the daemon read it. */
static __always_inline struct weir_flow *walk_entry(const struct weir_walk_keys *keys, __u32 index,
						    struct weir_flow_key *key)
{
	*key = keys->key[index & (WEIR_WALK_KEYS - 1)];
	return bpf_map_lookup_elem(&flows, key);
}

#endif
