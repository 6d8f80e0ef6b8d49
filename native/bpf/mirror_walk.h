/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The walk for the other unit (mirror.h), run by the daemon piece by piece: tells of what was not
 * told in this pass, as much at once as the daemon wants, and so brings what its ring had no room
 * for, what a unit that joins does not know, and UDP.
 *
 * Invariant: it tells of no flow that one side alone has shown to be there: no handshake that is
 * not over, and no UDP flow that only one walk has seen, which is what most are (a name asked for).
 */
#ifndef WEIR_MIRROR_WALK_H
#define WEIR_MIRROR_WALK_H

#include "mirror.h"
#include "walk.h"

struct bpf_map;

/* Whether the flow is one that will be missed. */
static __always_inline int walk_wants(const struct weir_mirror_walk *walk,
				      const struct weir_flow_key *key, struct weir_flow *flow,
				      const struct weir_flow *reply)
{
	__u64 seen = flow->seen_ns;

	if (key->protocol != IPPROTO_UDP) {
		__u8 flags = flow->flags, closing = flow->closing;

		if (reply) {
			flags &= reply->flags;
			closing |= reply->closing;
		}
		return flags & WEIR_FLOW_ESTABLISHED && closing != WEIR_CLOSED;
	}
	if (reply && flow_older(reply->seen_ns, seen, 0))
		seen = reply->seen_ns;
	if (!flow->mirror) {
		flow->mirror = WEIR_MIRROR_NOTED;
		return 0;
	}
	return flow->mirror != WEIR_MIRROR_NOTED || flow_older(seen, walk->before_ns, 0);
}

static __always_inline long walk_flow(struct weir_flow_key *key, struct weir_flow *flow,
				      struct weir_mirror_walk *walk)
{
	struct weir_flow_key tuple __attribute__((aligned(8))) = {};
	struct weir_flow *reply;

	if (flow->direction != WEIR_FLOW_FORWARD ||
	    flow->flags & (WEIR_FLOW_PROBE | WEIR_FLOW_PENDING))
		return 0;
	if (flow->mirror & WEIR_MIRROR_THEIRS) {
		struct weir_address source;

		if (!walk->adopt)
			return 0;
		address_copy(&source, &key->source);
		walk->adopted += flow_take(&source, flow);
	}
	if (walk->reset)
		flow->mirror = 0;
	if (!walk->pass || flow->mirror == walk->pass)
		return 0;
	reply = flow_other(key, flow, &tuple);
	if (!walk_wants(walk, key, flow, reply))
		return 0;
	if (walk->told >= walk->most || mirror_put(key, flow, reply, walk->now_ns, walk->pass)) {
		walk->left = 1;
		return 1;
	}
	walk->told++;
	return 0;
}

static long walk_source(struct bpf_map *map, struct weir_persistence_key *key,
			struct weir_persistence *source, struct weir_mirror_walk *walk)
{
	struct weir_mirrored *told;
	struct weir_member *member;
	__u32 row = source->member;

	(void)map;
	if (source->mirror & WEIR_MIRROR_THEIRS) {
		if (!walk->adopt)
			return 0;
		source->mirror = 0;
	}
	if (walk->reset)
		source->mirror = 0;
	if (!walk->pass || source->mirror == walk->pass)
		return 0;
	member = bpf_map_lookup_elem(&members, &row);
	if (!member || member->generation != source->generation)
		return 0;
	told = walk->told < walk->most ? bpf_ringbuf_reserve(&mirror, sizeof(*told), 0) : 0;
	if (!told) {
		walk->left = 1;
		return 1;
	}
	__builtin_memset(told, 0, sizeof(*told));
	address_copy(&told->flow.source, &key->address);
	told->identity = member->identity;
	told->kind = WEIR_MIRROR_SOURCE;
	told->pass = walk->pass;
	if (flow_older(walk->now_ns, source->seen_ns, 0))
		told->age_ms = (walk->now_ns - source->seen_ns) / 1000000;
	told->local = key->service;
	bpf_ringbuf_submit(told, BPF_RB_NO_WAKEUP);
	source->mirror = walk->pass;
	walk->told++;
	return 0;
}

struct walk_request {
	struct weir_walk_keys *keys;
	struct weir_mirror_walk walk;
};

static long walk_key(__u32 index, struct walk_request *request)
{
	struct weir_flow_key key __attribute__((aligned(8)));
	struct weir_flow *flow = walk_entry(request->keys, index, &key);

	return flow ? walk_flow(&key, flow, &request->walk) : 0;
}

/* Sources are gone over as a whole: to look one up would make it the last one to be forgotten. */
SEC("syscall")
int weir_mirror_walk(struct weir_mirror_walk *request)
{
	struct walk_request asked = { .walk = *request };

	asked.keys = walk_piece(WEIR_WALKER_MIRROR);
	if (!asked.keys)
		return 0;
	if (request->keys)
		bpf_loop(request->keys, walk_key, &asked, 0);
	else
		bpf_for_each_map_elem(&persistence, walk_source, &asked.walk, 0);
	*request = asked.walk;
	return 0;
}

#endif
