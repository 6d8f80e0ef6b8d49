/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The sweep: a walk over the flow table, run by the daemon piece by piece, that removes entries
 * whose time is over, those of services that are gone, and exceptions that say what their slot says.
 * Packets go on meanwhile.
 *
 * Invariant: an entry of a service goes only when neither of its directions has been seen for the
 * time that its state allows; and no flow of a slot changes its member by a sweep.
 */
#ifndef WEIR_SWEEP_H
#define WEIR_SWEEP_H

#include "flow.h"
#include "mirror.h"
#include "walk.h"

/*
 * How long an entry of this kind and state stays without a packet. An exception that goes while
 * the sketch of UDP flows (flow.h) still knows its flow would send it to the previous member.
 */
static __always_inline __u64 sweep_patience(const struct weir_sweep *sweep, __u8 protocol,
					    __u8 closing, __u8 flags)
{
	if (protocol == IPPROTO_UDP)
		return flags & (WEIR_FLOW_ESTABLISHED | WEIR_FLOW_EXCEPTION) ? sweep->udp_idle_ns :
									       sweep->udp_new_ns;
	if (closing == WEIR_CLOSED)
		return sweep->closed_ns;
	if (closing)
		return sweep->tcp_closing_ns;
	return flags & WEIR_FLOW_ESTABLISHED ? sweep->tcp_idle_ns : sweep->tcp_open_ns;
}

/*
 * Whether an entry's time is over: that of both directions together, if there are two. TCP is
 * established when both sides have said so: what a member answers to a forged SYN is no flow yet.
 */
static __always_inline int sweep_over(const struct weir_sweep *sweep, __u8 protocol,
				      const struct weir_flow *flow, const struct weir_flow *other)
{
	__u8 closing = flow->closing, flags = flow->flags, mirror = flow->mirror;
	__u64 seen = flow->seen_ns;

	if (other) {
		if (flow_older(other->seen_ns, seen, 0))
			seen = other->seen_ns;
		closing |= other->closing;
		if (protocol == IPPROTO_UDP)
			flags |= other->flags;
		else
			flags &= other->flags;
		mirror |= other->mirror;
	}
	/* The other unit says when it ends. */
	if (mirror & WEIR_MIRROR_THEIRS)
		return flow_older(sweep->now_ns, seen,
				  protocol == IPPROTO_UDP ? sweep->theirs_udp_ns :
							    sweep->tcp_idle_ns);
	return flow_older(sweep->now_ns, seen, sweep_patience(sweep, protocol, closing, flags));
}

/* Whether an exception says what a packet without one would find too, or never will again. */
static __always_inline int sweep_needless(const struct weir_flow *flow, __u32 *differs)
{
	__u32 id = flow->service, row = flow->member, slot;
	struct weir_placement *placement = bpf_map_lookup_elem(&placements, &id);
	struct weir_member *member = bpf_map_lookup_elem(&members, &row);
	__u64 both;

	if (!member || member->generation != flow->generation ||
	    member->state == WEIR_MEMBER_FREE)
		return 1;
	if (!placement || !placement->slots || placement->flags & WEIR_SERVICE_TRACK)
		return 0;
	slot = slot_of(flow->hash, placement->slots);
	both = slot_read(placement->first_chunk, slot);
	*differs = (__u32)both != row;
	return both >> 32 == WEIR_PREVIOUS_ENTRIES && !*differs;
}

/* Gives an entry to the service that has its address now, with what is counted of it. */
static __always_inline void sweep_rehome(const struct weir_flow_key *key, struct weir_flow *flow,
					 __u32 id)
{
	struct weir_address source;
	int counted;

	address_copy(&source, &key->source);
	counted = flow->direction == WEIR_FLOW_FORWARD && flow->flags & WEIR_FLOW_COUNTED;
	if (counted)
		flow_uncount(flow, &source);
	flow->service = id;
	if (!counted)
		return;
	/* Should it have ended meanwhile, it is taken off along with its entry. */
	flow_flag(flow, WEIR_FLOW_COUNTED);
	active_change(flow, 1);
}

/*
 * Whether the flow's service is gone: what comes for it is the kernel's, and its id is free. One
 * in its place that forwards in the same way goes on with its flows, as their packets do.
 */
static __always_inline int sweep_orphan(const struct weir_flow_key *key, struct weir_flow *flow)
{
	int reply = flow->direction == WEIR_FLOW_REPLY;
	struct weir_service_key name = {};
	struct weir_service *service;

	/* Who tests a member takes its own entries out. */
	if (flow->direction == WEIR_FLOW_ANSWER || flow->flags & WEIR_FLOW_PROBE)
		return 0;
	address_copy(&name.address, reply ? &flow->address : &key->destination);
	name.port = reply ? flow->port : key->destination_port;
	name.protocol = key->protocol;
	service = bpf_map_lookup_elem(&services, &name);
	if (!service || service->forwarding != flow->forwarding)
		return 1;
	if (service->id != flow->service)
		sweep_rehome(key, flow, service->id);
	return 0;
}

/* Whether the service had an entry for every flow when this one began, and has no longer. */
static __always_inline int sweep_untracked(const struct weir_flow *flow)
{
	__u32 id = flow->service;
	struct weir_placement *placement = bpf_map_lookup_elem(&placements, &id);

	return placement && !(placement->flags & WEIR_SERVICE_TRACK);
}

/* Takes an entry out. Who else does so at the same time counts what was taken first. */
static __always_inline void sweep_remove(struct weir_sweep *sweep,
					 const struct weir_flow_key *key, struct weir_flow *flow)
{
	sweep->untold += mirror_gone(key, flow);
	sweep->removed += entry_remove(key, flow);
}

static __always_inline void sweep_entry(struct weir_flow_key *key, struct weir_flow *flow,
					struct weir_sweep *sweep)
{
	struct weir_flow_key tuple = {};
	struct weir_flow *other = 0;
	__u32 differs = 0;
	int over = 0;

	/* What was just seen stays, whatever the other direction says: no state has less time. */
	if (flow_older(sweep->now_ns, flow->seen_ns, sweep->closed_ns)) {
		other = flow_other(key, flow, &tuple);
		over = sweep_over(sweep, key->protocol, flow, other) || sweep_orphan(key, flow);
		if (!over && flow->direction == WEIR_FLOW_FORWARD &&
		    !(flow->flags & (WEIR_FLOW_EXCEPTION | WEIR_FLOW_PROBE)) &&
		    sweep_untracked(flow))
			flow_flag(flow, WEIR_FLOW_EXCEPTION);
	}
	if (!over && mirror_outdated(flow, sweep->theirs_pass, sweep->theirs_next)) {
		other = flow_other(key, flow, &tuple);
		over = 1;
	}
	if (!over && flow->direction == WEIR_FLOW_FORWARD && flow->flags & WEIR_FLOW_EXCEPTION)
		over = sweep_needless(flow, &differs);
	if (over) {
		if (other)
			sweep_remove(sweep, &tuple, other);
		sweep_remove(sweep, key, flow);
		return;
	}
	sweep->entries++;
	sweep->exceptions += differs;
	sweep->theirs += flow->mirror >> 7;
	if (flow->direction == WEIR_FLOW_REPLY && flow->forwarding == WEIR_FORWARDING_FULL_NAT)
		sweep->full_nat++;
}

struct sweep_piece {
	struct weir_walk_keys *keys;
	struct weir_sweep sweep;
};

static long sweep_key(__u32 index, struct sweep_piece *piece)
{
	struct weir_flow_key key __attribute__((aligned(8)));
	struct weir_flow *flow = walk_entry(piece->keys, index, &key);

	if (flow)
		sweep_entry(&key, flow, &piece->sweep);
	return 0;
}

SEC("syscall")
int weir_sweep(struct weir_sweep *request)
{
	struct sweep_piece piece = { .sweep = *request };

	piece.keys = walk_piece(WEIR_WALKER_SWEEP);
	if (!piece.keys)
		return 0;
	bpf_loop(request->keys, sweep_key, &piece, 0);
	*request = piece.sweep;
	return 0;
}

#endif
