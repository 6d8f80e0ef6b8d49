/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The sweep: a walk over the flow table, run by the daemon, that removes entries whose time is
 * over and exceptions that say what their slot says. Packets go on meanwhile.
 *
 * Invariant: an entry goes only when neither of its directions has been seen for the time that
 * its state allows; and no flow of a slot changes its member by a sweep.
 */
#ifndef WEIR_SWEEP_H
#define WEIR_SWEEP_H

#include "flow.h"

struct bpf_map;

/* How long an entry of this kind and state stays without a packet. */
static __always_inline __u64 sweep_patience(const struct weir_sweep *sweep,
					    const struct weir_flow_key *key,
					    const struct weir_flow *flow)
{
	if (key->protocol == IPPROTO_UDP)
		return flow->flags & WEIR_FLOW_ESTABLISHED ? sweep->udp_idle_ns : sweep->udp_new_ns;
	if (flow->closing == WEIR_CLOSED)
		return sweep->closed_ns;
	if (flow->closing)
		return sweep->tcp_closing_ns;
	return flow->flags & WEIR_FLOW_ESTABLISHED ? sweep->tcp_idle_ns : sweep->tcp_open_ns;
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
	if (!placement || !placement->slots || placement->choice > WEIR_CHOICE_PAIR_HASH)
		return 0;
	slot = slot_of(flow->hash, placement->slots);
	both = slot_read(placement->first_chunk, slot);
	*differs = (__u32)both != row;
	return both >> 32 == WEIR_PREVIOUS_ENTRIES && !*differs;
}

static long sweep_entry(struct bpf_map *map, struct weir_flow_key *key, struct weir_flow *flow,
			struct weir_sweep *sweep)
{
	__u32 differs = 0;
	int over = flow_older(sweep->now_ns, flow->seen_ns, sweep_patience(sweep, key, flow));

	if (flow->direction == WEIR_FLOW_FORWARD) {
		if (!over && flow->flags & WEIR_FLOW_EXCEPTION)
			over = sweep_needless(flow, &differs);
		if (over) {
			/* A key of the map may not be given away. */
			struct weir_address source = key->source;

			flow_uncount(flow, &source);
		}
	} else if (flow->forwarding == WEIR_FORWARDING_FULL_NAT) {
		if (over)
			nat_count(flow->nat, -1);
		else
			sweep->full_nat++;
	}
	if (!over) {
		sweep->entries++;
		sweep->exceptions += differs;
		return 0;
	}
	if (!bpf_map_delete_elem(map, key))
		sweep->removed++;
	return 0;
}

SEC("syscall")
int weir_sweep(struct weir_sweep *request)
{
	struct weir_sweep sweep = *request;

	bpf_for_each_map_elem(&flows, sweep_entry, &sweep, 0);
	*request = sweep;
	return 0;
}

#endif
