/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Flows: which member a client's packets keep going to, and for nat how replies find back.
 *
 * Invariant: a flow entry is believed only while its generation is that of the member's row and
 * the member serves or drains. A nat flow's reply entry is looked at when the flow begins, when
 * TCP says that it begins or ends, and otherwise only along with the refresh of seen_ns: once a
 * second and flow, so a reply entry that the table gave away is back within a second at no cost
 * to the packets in between. The same visit follows a client whose MAC address or interface
 * changed.
 */
#ifndef WEIR_FLOW_H
#define WEIR_FLOW_H

#include "count.h"
#include "lookup.h"
#include "parse.h"
#include "protect.h"

#define WEIR_FLOW_REFRESH_NS WEIR_SECOND_NS
#define WEIR_UDP_IDLE_NS (120 * WEIR_SECOND_NS)
/* 2 hours and 4 minutes, the least that RFC 5382 REQ-5 lets an established connection idle. */
#define WEIR_TCP_IDLE_NS (7440 * WEIR_SECOND_NS)

/* Signed: another CPU's clock reading may be newer than ours by a moment. */
static __always_inline int flow_older(__u64 now, __u64 seen, __u64 limit)
{
	return (__s64)(now - seen) > (__s64)limit;
}

static __always_inline int packet_opens(const struct packet *packet)
{
	return (packet->tcp_flags & (WEIR_TCP_SYN | WEIR_TCP_ACK)) == WEIR_TCP_SYN;
}

/* A flow more or less of the service and the member. */
static __always_inline void active_add(__u32 service, __u32 member, int change)
{
	__u32 *count = bpf_map_lookup_elem(&service_active, &service);

	if (count && (change > 0 || *count))
		__sync_fetch_and_add(count, change);
	count = bpf_map_lookup_elem(&member_active, &member);
	if (count && (change > 0 || *count))
		__sync_fetch_and_add(count, change);
}

/* The client has ended its connection, or reset it. */
static __noinline void flow_ended(const struct packet *packet, __u32 service, __u32 member)
{
	active_add(service, member, -1);
	protect_flow_end(&packet->flow.source, service);
}

/* The member in the row that the entry names, unless this packet has to be balanced again. */
static __always_inline struct weir_member *flow_member(const struct packet *packet,
						       const struct weir_flow *flow, __u32 row)
{
	struct weir_member *member = bpf_map_lookup_elem(&members, &row);

	if (!member || member->generation != flow->generation)
		return 0;
	if (member->state != WEIR_MEMBER_SERVING && member->state != WEIR_MEMBER_DRAINING)
		return 0;
	/*
	 * A new connection in the tuple of one that its client has ended is balanced like any other.
	 * While nobody ended the old one, a SYN may be forged: it must not move the flow.
	 */
	if (packet_opens(packet) && (flow->closing || member->state == WEIR_MEMBER_DRAINING))
		return 0;
	if (packet->flow.protocol == IPPROTO_UDP &&
	    flow_older(packet->now, flow->seen_ns, WEIR_UDP_IDLE_NS))
		return 0;
	return member;
}

/* Whether the entry was a flow under way whose member can no longer have it. */
static __always_inline int flow_lost_member(const struct packet *packet,
					    const struct weir_flow *flow)
{
	if (packet_opens(packet))
		return 0;
	return packet->flow.protocol != IPPROTO_UDP ||
	       !flow_older(packet->now, flow->seen_ns, WEIR_UDP_IDLE_NS);
}

static __always_inline int mac_differs(const __u8 *one, const __u8 *other)
{
	__u8 bits = 0;

	for (int i = 0; i < ETH_ALEN; i++)
		bits |= one[i] ^ other[i];
	return bits;
}

static __always_inline __u8 closing_after(const struct packet *packet, __u8 closing, __u8 who)
{
	if (packet_opens(packet))
		return 0;
	if (packet->tcp_flags & WEIR_TCP_RST)
		return WEIR_CLOSED;
	if (packet->tcp_flags & WEIR_TCP_FIN)
		return closing | who;
	return closing;
}

/* Whether another flow still needs this reply entry. */
static __always_inline int reply_live(const struct packet *packet, const struct weir_flow *entry)
{
	if (packet->flow.protocol == IPPROTO_UDP)
		return !flow_older(packet->now, entry->seen_ns, WEIR_UDP_IDLE_NS);
	return entry->closing != WEIR_CLOSED &&
	       !flow_older(packet->now, entry->seen_ns, WEIR_TCP_IDLE_NS);
}

/*
 * Makes or refreshes the entry by which the member's replies find back to the client.
 * 0, or the reason to drop the packet.
 */
static __noinline __u32 reply_keep(const struct packet *packet, const struct weir_service *service,
				   const struct weir_member *member, __u32 row)
{
	struct weir_flow_key key = {
		.source = member->address,
		.destination = packet->flow.source,
		.source_port = member->port ? member->port : packet->flow.destination_port,
		.destination_port = packet->flow.source_port,
		.protocol = packet->flow.protocol,
	};
	struct weir_flow *entry = bpf_map_lookup_elem(&flows, &key);
	struct weir_flow fresh = {
		.member = row,
		.generation = member->generation,
		.service = service->id,
		.port = packet->flow.destination_port,
		.direction = WEIR_FLOW_REPLY,
		.closing = closing_after(packet, 0, WEIR_CLOSING_CLIENT),
		.address = packet->flow.destination,
		.interface = packet->interface,
		.seen_ns = packet->now,
	};

	if (entry && entry->direction == WEIR_FLOW_REPLY) {
		__u32 differs = entry->port ^ fresh.port;

		for (int i = 0; i < 4; i++)
			differs |= entry->address.word[i] ^ fresh.address.word[i];
		if (differs && reply_live(packet, entry))
			return WEIR_DROP_FLOW_CONFLICT;
		if (!differs && entry->member == row && entry->generation == fresh.generation &&
		    entry->service == fresh.service && entry->interface == fresh.interface &&
		    !mac_differs(entry->client_mac, packet->ethernet->h_source) &&
		    !mac_differs(entry->unit_mac, packet->ethernet->h_dest)) {
			entry->closing = closing_after(packet, entry->closing, WEIR_CLOSING_CLIENT);
			entry->seen_ns = packet->now;
			return WEIR_DROP_NONE;
		}
		if (!differs)
			fresh.closing = closing_after(packet, entry->closing, WEIR_CLOSING_CLIENT);
	}
	__builtin_memcpy(fresh.client_mac, packet->ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(fresh.unit_mac, packet->ethernet->h_dest, ETH_ALEN);
	if (bpf_map_update_elem(&flows, &key, &fresh, BPF_ANY))
		return WEIR_DROP_FLOW_TABLE;
	return WEIR_DROP_NONE;
}

/*
 * Balances a flow: chooses its member and remembers it. `previous` is the row of the member that
 * it lost, 0 for a flow that begins. Returns the row, or the reason to drop, negated.
 */
static __noinline int flow_begin(const struct packet *packet, const struct weir_service *service,
				 __u32 previous)
{
	__u32 row = choose_member(&packet->flow, service);
	struct weir_member *member = bpf_map_lookup_elem(&members, &row);
	struct weir_happening what = {
		.service = service->id,
		.member = row,
		.previous = previous,
		.kind = previous ? WEIR_EVENT_FLOW_MOVED : WEIR_EVENT_FLOW_NEW,
	};
	struct weir_flow flow = {
		.member = row,
		.service = service->id,
		.direction = WEIR_FLOW_FORWARD,
		.seen_ns = packet->now,
	};

	if (!member || member->state != WEIR_MEMBER_SERVING)
		return -WEIR_DROP_NO_MEMBER;
	if (!previous && (packet_opens(packet) || packet->flow.protocol == IPPROTO_UDP)) {
		__u32 reason = protect_new_flow(packet, service, member, row);

		if (reason)
			return -(int)reason;
	}
	if (service->forwarding == WEIR_FORWARDING_NAT) {
		__u32 reason;

		/* An address of the other family cannot be written into this header. */
		if (address_is_ipv4(&member->address) !=
		    address_is_ipv4(&packet->flow.destination))
			return -WEIR_DROP_NO_MEMBER;
		reason = reply_keep(packet, service, member, row);
		if (reason)
			return -(int)reason;
	}
	flow.generation = member->generation;
	if (bpf_map_update_elem(&flows, &packet->flow, &flow, BPF_ANY))
		return -WEIR_DROP_FLOW_TABLE;
	active_add(service->id, row, 1);
	count_flow(service->id, row);
	event_send(&packet->flow, &what);
	return row;
}

#endif
