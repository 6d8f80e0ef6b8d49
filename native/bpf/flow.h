/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Flows: which member a client's packets keep going to.
 *
 * Where the hash decides (maglev, ip-hash by dsr or tunnel), a flow has an entry only while its
 * slot has a previous member (tables.h): then the hash alone does not say which of the two the
 * flow began with. Every other flow is where its hash says, however many there are. Services that
 * need more (other algorithms, nat, persistence) track each flow.
 *
 * Invariant: a flow entry is believed only while its generation is that of the member's row and
 * the member serves or drains. On a slot with a previous member, a packet that finds no entry and
 * could not make one goes where the next one without an entry will go too.
 */
#ifndef WEIR_FLOW_H
#define WEIR_FLOW_H

#include "cookie.h"
#include "count.h"
#include "lookup.h"
#include "mirror.h"
#include "nat.h"
#include "parse.h"
#include "probe.h"
#include "track.h"

/* In place of a row: drop for a reason (negated), or answer with a TCP reset. */
#define WEIR_ROUTE_RESET (-1000)
/* In place of a row: cookie.h says. */
#define WEIR_ROUTE_COOKIE (-1001)

/*
 * Whether a UDP flow without an entry has been seen within WEIR_RECENT_EPOCHS epochs. Notes that
 * it has been now. The cell is one of 2^24, by all of the flow, whatever the choice looks at.
 */
static __always_inline int flow_recent(const struct facts *packet)
{
	__u32 hash = hash_mix(packet->hash,
			      packet->flow.source_port | (__u32)packet->flow.destination_port << 16);
	__u32 line = hash >> 14, cell = hash % WEIR_RECENT_CELLS;
	__u32 epoch = (packet->now >> 32) % 255 + 1, seen, age;
	struct weir_recent *recents = bpf_map_lookup_elem(&recent, &line);

	if (!recents)
		return 0;
	seen = recents->epoch[cell];
	if (seen == epoch)
		return 1;
	recents->epoch[cell] = epoch;
	age = epoch > seen ? epoch - seen : epoch + 255 - seen;
	return seen && age <= WEIR_RECENT_EPOCHS;
}

/* What happens to a new flow, or to one that lost its member, when there is nobody to take it. */
static __always_inline int flow_nobody(const struct facts *packet,
				       const struct weir_service *service)
{
	if (service->flags & WEIR_SERVICE_RESET_DOWN && packet->flow.protocol == IPPROTO_TCP)
		return WEIR_ROUTE_RESET;
	return -WEIR_DROP_NO_MEMBER;
}

static __always_inline int member_serves(const struct weir_member *member)
{
	return member && member->state == WEIR_MEMBER_SERVING;
}

static __always_inline int member_lives(const struct weir_member *member)
{
	return member && (member->state == WEIR_MEMBER_SERVING ||
			  member->state == WEIR_MEMBER_DRAINING);
}

/*
 * A flow on a slot with a previous member. Its entry decides, if it has one. Without, it began
 * with the previous member unless it begins now; and it gets an entry, so that it stays where it
 * is when the slot changes again. `begins` tells back whether it is new here.
 */
__noinline int flow_exception(struct facts *packet, const struct weir_service *service,
			      __u64 both, __u32 *begins)
{
	__u32 current = both, previous = both >> 32, lost = 0, row, other;
	struct weir_flow *known;
	struct weir_member *member;
	int fresh;

	if (!packet || !service || !begins)
		return -WEIR_DROP_NO_MEMBER;
	fresh = *begins;
	packet->now = bpf_ktime_get_coarse_ns();
	known = flow_find(&packet->flow);
	if (known && known->direction == WEIR_FLOW_FORWARD) {
		row = known->member;
		if (flow_member(packet, known, row)) {
			if (flow_older(packet->now, known->seen_ns, WEIR_FLOW_REFRESH_NS))
				known->seen_ns = packet->now;
			/* It may be of a time when every flow had one. */
			if (!(known->flags & WEIR_FLOW_EXCEPTION))
				flow_flag(known, WEIR_FLOW_EXCEPTION);
			flow_follow(packet, known);
			*begins = 0;
			return row;
		}
		if (!fresh && flow_lost_member(packet, known))
			lost = row;
	}
	/* Where it goes if nothing can be remembered of it. */
	other = current;
	if (previous != WEIR_PREVIOUS_ENTRIES) {
		member = bpf_map_lookup_elem(&members, &previous);
		if (member_lives(member))
			other = previous;
		else if (!fresh && previous != current)
			lost = previous;
	}
	row = fresh ? current : other;
	if (lost && service->flags & WEIR_SERVICE_RESET_LOST &&
	    packet->flow.protocol == IPPROTO_TCP)
		return WEIR_ROUTE_RESET;
	if (!row)
		return flow_nobody(packet, service);
	/* Once only entries are left of the past, what has none needs none. */
	if (previous == WEIR_PREVIOUS_ENTRIES && !lost)
		return row;
	if (flow_remember(packet, service, row))
		row = other;
	else if (lost)
		flow_announce(&packet->flow, service->id, row, lost);
	return row ? (int)row : flow_nobody(packet, service);
}

/* The row of the member of a packet whose service tracks exceptions only. */
static __always_inline int flow_hashed(struct facts *packet, const struct weir_service *service,
				       const int ipv6)
{
	struct weir_settings *tuning = tuning_get();
	__u32 begins;
	__u64 both;
	int row;

	if (!tuning)
		return -WEIR_DROP_NO_MEMBER;
	packet->hash = hash_flow(&packet->flow, service->choice, tuning->hash_seed, ipv6);
	if (packet->quic) {
		row = quic_member(packet, service);
		if (row)
			return row;
	}
	if (tuning->probing && (row = probe_row(packet)))
		return row;
	if (packet->flow.protocol == IPPROTO_TCP) {
		begins = packet_opens(packet);
	} else {
		packet->now = bpf_ktime_get_coarse_ns();
		begins = !flow_recent(packet);
	}
	if (!service->slots)
		return flow_nobody(packet, service);
	both = slot_read(service->first_chunk, slot_of(packet->hash, service->slots));
	row = both;
	if (both >> 32)
		row = flow_exception(packet, service, both, &begins);
	else if (!row)
		return flow_nobody(packet, service);
	if (begins && row > 0 && service->protect & WEIR_PROTECT_FLOWS) {
		__u32 reason = protect_new_flow(packet, service, row);

		if (reason)
			return -(int)reason;
	}
	if (begins && row > 0)
		flow_announce(&packet->flow, service->id, row, 0);
	return row;
}

/* Where a packet of this flow would go, without anything being noted of it; 0: nowhere. */
__noinline int flow_locate(struct facts *packet, const struct weir_service *service)
{
	struct weir_settings *tuning = tuning_get();
	struct weir_member *member;
	struct weir_flow *known;
	__u32 previous;
	__u64 both;

	if (!packet || !service || !tuning)
		return 0;
	known = flow_find(&packet->flow);
	packet->hash = packet->ipv6 ?
			       hash_flow(&packet->flow, service->choice, tuning->hash_seed, 1) :
			       hash_flow(&packet->flow, service->choice, tuning->hash_seed, 0);
	if (known && known->direction == WEIR_FLOW_FORWARD) {
		previous = known->member;
		member = bpf_map_lookup_elem(&members, &previous);
		if (member_lives(member) && member->generation == known->generation)
			return previous;
	}
	if (service->flags & WEIR_SERVICE_TRACK || !service->slots)
		return 0;
	both = slot_read(service->first_chunk, slot_of(packet->hash, service->slots));
	previous = both >> 32;
	if (previous && previous != WEIR_PREVIOUS_ENTRIES) {
		member = bpf_map_lookup_elem(&members, &previous);
		if (member_lives(member))
			return previous;
	}
	return (__u32)both;
}

/*
 * Balances a flow of a service that tracks all of them: chooses its member and remembers it.
 * `previous` is the row of the member that it lost, 0 for a flow that begins.
 */
__noinline int flow_begin(const struct facts *packet, const struct weir_service *service,
			  __u32 previous)
{
	struct weir_scratch *work = scratch_get();
	struct weir_member *member;
	struct weir_flow *flow;
	__u32 row = 0, named;
	int reason;

	if (!work || !packet || !service)
		return -WEIR_DROP_FLOW_TABLE;
	if (packet->quic)
		row = quic_member(packet, service);
	named = row;
	if (!row && service->flags & WEIR_SERVICE_PERSIST)
		row = source_member(packet, service);
	if (!row)
		row = choose_member(service, packet->hash);
	member = bpf_map_lookup_elem(&members, &row);
	/* Whom a connection id names has the connection already, and keeps it while draining. */
	if (!member_serves(member) && !(named && member_lives(member)))
		return flow_nobody(packet, service);
	if (!member)
		return -WEIR_DROP_NO_MEMBER;
	if (!previous && service->protect & WEIR_PROTECT_FLOWS) {
		reason = protect_new_flow(packet, service, row);
		if (reason)
			return -reason;
	}
	flow = &work->forward;
	flow_fill(packet, service, flow);
	flow->member = row;
	flow->generation = member->generation;
	if (rewrites_addresses(service->forwarding)) {
		/* An address of the other family cannot be written into this header. */
		reason = address_is_ipv4(&member->address) == !!packet->ipv6 ?
				 WEIR_DROP_NO_MEMBER :
			 service->forwarding == WEIR_FORWARDING_NAT ?
				 reply_keep(packet, service, member, row) :
				 nat_begin(packet, service, member);
		if (reason)
			goto refused;
	}
	reason = flow_store(packet, flow);
	if (reason) {
		if (rewrites_addresses(service->forwarding))
			bpf_map_delete_elem(&flows, &work->key);
		if (service->forwarding == WEIR_FORWARDING_FULL_NAT)
			nat_count(flow->nat, -1);
		goto refused;
	}
	if (service->flags & WEIR_SERVICE_PERSIST)
		source_remember(packet, service, row, member->generation);
	flow_announce(&packet->flow, service->id, row, previous);
	return row;

refused:
	/* It was let in, and does not come to be after all. */
	protect_flow_end(&packet->flow.source, service->id);
	return -reason;
}

/* The row of the member of a packet whose service tracks every flow, and the flow's entry. */
static __always_inline int flow_tracked(struct facts *packet, const struct weir_service *service,
					struct weir_flow **entry, const int ipv6)
{
	struct weir_settings *tuning;
	struct weir_flow *known;
	struct weir_member *member = 0;
	__u32 row, previous = 0;
	int begun;

	packet->now = bpf_ktime_get_coarse_ns();
	known = flow_find(&packet->flow);
	if (cookie_due(packet, service, known))
		return WEIR_ROUTE_COOKIE;
	if (known && known->direction == WEIR_FLOW_FORWARD &&
	    known->forwarding == service->forwarding) {
		row = known->member;
		member = flow_member(packet, known, row);
		if (!member && flow_lost_member(packet, known)) {
			previous = row;
			if (service->flags & WEIR_SERVICE_RESET_LOST &&
			    packet->flow.protocol == IPPROTO_TCP)
				return WEIR_ROUTE_RESET;
		}
	}
	if (member) {
		int due = flow_older(packet->now, known->seen_ns, WEIR_FLOW_REFRESH_NS);

		if (due)
			known->seen_ns = packet->now;
		if (known->flags & WEIR_COOKIE_FLOW)
			cookie_recall(packet, known);
		flow_follow(packet, known);
		if (rewrites_addresses(service->forwarding) &&
		    (due ||
		     packet->tcp_flags & (WEIR_TCP_SYN | WEIR_TCP_FIN | WEIR_TCP_RST))) {
			int reason = service->forwarding == WEIR_FORWARDING_NAT ?
					     reply_keep(packet, service, member, row) :
					     nat_keep(packet, service, member, known);

			if (reason)
				return -reason;
		}
		/* Tunnels want the hash for their own source. */
		packet->hash = known->hash;
		*entry = known;
		return row;
	}
	tuning = tuning_get();
	if (!tuning)
		return -WEIR_DROP_NO_MEMBER;
	packet->hash = hash_flow(&packet->flow, service->choice, tuning->hash_seed, ipv6);
	begun = flow_begin(packet, service, previous);
	if (begun > 0 && service->forwarding == WEIR_FORWARDING_FULL_NAT) {
		*entry = flow_find(&packet->flow);
		if (!*entry)
			return -WEIR_DROP_FLOW_TABLE;
	}
	return begun;
}

#endif
