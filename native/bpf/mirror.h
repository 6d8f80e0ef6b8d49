/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What the other unit of a pair is told of flows, so that it can go on with them: a record in the
 * ring `mirror` when a TCP connection is established, from walks for all else (mirror_walk.h), and
 * when an entry that was told of goes.
 *
 * A pass is one telling of everything. Each entry keeps the number of the pass in which it was told
 * of; so a walk finds what is left, however often the ring was full, and the other unit finds what
 * was not told again. settings.mirror is the pass that runs.
 *
 * A flow belongs to the unit that saw its last packet. An entry of the other unit's has
 * WEIR_MIRROR_THEIRS until a packet comes for it here, is not established and not counted before,
 * and never told back.
 *
 * Invariant: an established flow of this unit pays nothing for any of this: all of it hangs on the
 * branch for entries that are not established yet, or on the end of an entry.
 */
#ifndef WEIR_MIRROR_H
#define WEIR_MIRROR_H

#include "count.h"
#include "find.h"
#include "nat.h"
#include "track.h"

/*
 * The entry of a nat flow's other direction, and its tuple in `other`; 0 when there is none. Each
 * of the two finds the other one, or neither does.
 */
static __always_inline struct weir_flow *flow_other(const struct weir_flow_key *key,
						     const struct weir_flow *flow,
						     struct weir_flow_key *other)
{
	__u32 row = flow->member;
	struct weir_member *member = bpf_map_lookup_elem(&members, &row);
	struct weir_flow *found;
	int full = flow->forwarding == WEIR_FORWARDING_FULL_NAT;

	if (!member || member->generation != flow->generation ||
	    !rewrites_addresses(flow->forwarding))
		return 0;
	if (flow->direction == WEIR_FLOW_REPLY) {
		address_copy(&other->source, &flow->client);
		address_copy(&other->destination, &flow->address);
		other->source_port = flow->client_port;
		other->destination_port = flow->port;
	} else {
		address_copy(&other->source, &member->address);
		address_copy(&other->destination, full ? &flow->address : &key->source);
		other->source_port = member->port ? member->port : key->destination_port;
		other->destination_port = full ? flow->port : key->source_port;
	}
	other->protocol = key->protocol;
	found = bpf_map_lookup_elem(&flows, other);
	if (!found || found->direction == flow->direction || found->member != flow->member ||
	    found->generation != flow->generation || found->forwarding != flow->forwarding)
		return 0;
	/* The tuple may be another flow's by now. */
	if (flow->direction == WEIR_FLOW_REPLY)
		return !full || (found->port == key->destination_port &&
				 !address_differs(&found->address, &key->destination)) ?
			       found :
			       0;
	return found->client_port == key->source_port && found->port == key->destination_port &&
			       !address_differs(&found->client, &key->source) &&
			       !address_differs(&found->address, &key->destination) ?
		       found :
		       0;
}


/* Whether the other unit was told of the entry. */
static __always_inline int mirror_told(const struct weir_flow *flow)
{
	return flow->direction == WEIR_FLOW_FORWARD && flow->mirror &&
	       flow->mirror <= WEIR_MIRROR_PASSES;
}

static __always_inline void mirror_fill(struct weir_mirrored *told,
					const struct weir_flow_key *key,
					const struct weir_flow *flow, __u32 kind)
{
	flow_key_copy(&told->flow, key);
	told->identity = 0;
	told->address = flow->address;
	told->port = flow->port;
	told->kind = kind;
	told->flags = flow->flags & WEIR_FLOW_TRANSLATED;
	told->closing = flow->closing;
	told->forwarding = flow->forwarding;
	told->pass = 0;
	told->nat = 0;
	told->age_ms = 0;
	told->hash = flow->hash;
	told->delta = flow->delta;
	told->isn = flow->isn;
	told->interface = 0;
	*(move32 *)told->vlan = 0;
	__builtin_memset(told->client_mac, 0, 2 * ETH_ALEN);
	told->member = 0;
	told->local = 0;
	told->zero = 0;
}

/* Tells of a flow; `reply`: the entry of its other direction, or 0. Not 0 when the ring is full. */
static __always_inline int mirror_put(const struct weir_flow_key *key, struct weir_flow *flow,
				      const struct weir_flow *reply, __u64 now, __u32 pass)
{
	struct weir_mirrored *told;
	struct weir_member *member;
	__u32 row = flow->member;
	__u64 seen = flow->seen_ns;

	member = bpf_map_lookup_elem(&members, &row);
	if (!member || member->generation != flow->generation)
		return 0;
	told = bpf_ringbuf_reserve(&mirror, sizeof(*told), 0);
	if (!told)
		return -1;
	mirror_fill(told, key, flow, WEIR_MIRROR_FLOW);
	told->identity = member->identity;
	told->pass = pass;
	if (reply) {
		if (flow_older(reply->seen_ns, seen, 0))
			seen = reply->seen_ns;
		told->closing |= reply->closing;
		told->interface = reply->interface;
		*(move32 *)told->vlan = *(const move32 *)reply->vlan;
		__builtin_memcpy(told->client_mac, reply->client_mac, ETH_ALEN);
	}
	if (flow_older(now, seen, 0))
		told->age_ms = (now - seen) / 1000000;
	bpf_ringbuf_submit(told, BPF_RB_NO_WAKEUP);
	flow->mirror = pass;
	return 0;
}

/* A flow is established, or this unit's from now on. What the ring does not take a walk tells. */
__noinline int mirror_tell(const struct weir_flow_key *key, struct weir_flow *flow)
{
	struct weir_settings *tuning = tuning_get();
	struct weir_flow_key tuple __attribute__((aligned(8))) = {};

	if (!key || !flow || !tuning || !tuning->mirror)
		return 0;
	return mirror_put(key, flow, flow_other(key, flow, &tuple), bpf_ktime_get_coarse_ns(),
			  tuning->mirror);
}

/* An entry goes. 1 when the other unit should be told, and could not be. */
static __always_inline int mirror_gone(const struct weir_flow_key *key,
				       const struct weir_flow *flow)
{
	struct weir_settings *tuning;
	struct weir_mirrored *told;

	if (!mirror_told(flow))
		return 0;
	tuning = tuning_get();
	if (!tuning || !tuning->mirror)
		return 0;
	told = bpf_ringbuf_reserve(&mirror, sizeof(*told), 0);
	if (!told)
		return 1;
	mirror_fill(told, key, flow, WEIR_MIRROR_GONE);
	told->pass = tuning->mirror;
	bpf_ringbuf_submit(told, BPF_RB_NO_WAKEUP);
	return 0;
}

/* Whether the other unit has told everything since, and this not again. */
static __always_inline int mirror_outdated(const struct weir_flow *flow, __u32 pass, __u32 next)
{
	__u32 told = flow->mirror & ~WEIR_MIRROR_THEIRS;

	return pass && flow->mirror & WEIR_MIRROR_THEIRS && told != pass && told != next;
}

/* Takes an entry out, with what is counted of it. Whether it was there. */
static __always_inline int entry_remove(const struct weir_flow_key *key, struct weir_flow *flow)
{
	__u32 port = flow->direction == WEIR_FLOW_REPLY &&
		     flow->forwarding == WEIR_FORWARDING_FULL_NAT;
	__u32 row = flow->nat;

	if (flow->direction == WEIR_FLOW_FORWARD) {
		/* A key of the map may not be given away. */
		struct weir_address source;

		address_copy(&source, &key->source);
		flow_uncount(flow, &source);
	}
	/* Who else does so at the same time counts what was taken first. */
	if (bpf_map_delete_elem(&flows, key))
		return 0;
	if (port)
		nat_count(row, -1);
	return 1;
}

/* A flow of the other unit is this one's from now on, and counts here. 0 when it was before. */
__noinline int flow_take(const struct weir_address *source, struct weir_flow *flow)
{
	__u32 flags = (WEIR_FLOW_COUNTED | WEIR_FLOW_ESTABLISHED) << 16;

	if (!source || !flow)
		return 0;
	flow->mirror = 0;
	if (__sync_fetch_and_or(flags_word(flow), flags) & WEIR_FLOW_COUNTED << 16)
		return 0;
	protect_flow_add(source, flow->service);
	active_change(flow, 1);
	return 1;
}

/* The first packet of such a flow. */
__noinline int flow_take_over(const struct facts *packet, struct weir_flow *flow)
{
	struct weir_totals *total;

	if (!packet || !flow || !flow_take(&packet->flow.source, flow))
		return 0;
	total = count_totals();
	if (total)
		total->taken_over++;
	return mirror_tell(&packet->flow, flow);
}

/* What a client's packet says of its connection. */
static __always_inline void flow_follow(const struct facts *packet, struct weir_flow *flow)
{
	if (!(flow->flags & WEIR_FLOW_ESTABLISHED) && flow->mirror & WEIR_MIRROR_THEIRS)
		flow_take_over(packet, flow);
	if (packet->flow.protocol == IPPROTO_UDP) {
		/* Where replies do not pass, a second packet has to do for the member's answer. */
		if (!(flow->flags & WEIR_FLOW_ESTABLISHED) && !rewrites_addresses(flow->forwarding))
			flow_flag(flow, WEIR_FLOW_ESTABLISHED);
		return;
	}
	if (packet->tcp_flags & (WEIR_TCP_FIN | WEIR_TCP_RST)) {
		flow->closing = closing_after(packet, flow->closing, WEIR_CLOSING_CLIENT);
		flow_uncount(flow, &packet->flow.source);
	} else if (!(flow->flags & WEIR_FLOW_ESTABLISHED) && !packet_opens(packet)) {
		flow_flag(flow, WEIR_FLOW_ESTABLISHED);
		if (!(flow->flags & WEIR_FLOW_TRANSLATED))
			count_confirmed(flow->service);
		mirror_tell(&packet->flow, flow);
	}
}

#endif
