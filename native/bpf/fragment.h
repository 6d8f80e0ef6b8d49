/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Fragments (RFC 791 §3.2, RFC 8200 §4.5). Only the first one says which flow it belongs to; the
 * others follow it by their identification. A later fragment that comes before its first is
 * dropped: holding packets back is nothing that XDP can do, and senders begin with the first.
 *
 * Invariant: a note of a first fragment holds for WEIR_FRAGMENT_NS, the time that a receiver
 * waits for the rest (RFC 8200 §4.5), and only while its member's row is its own.
 */
#ifndef WEIR_FRAGMENT_H
#define WEIR_FRAGMENT_H

#include "count.h"
#include "intact.h"
#include "link.h"
#include "parse.h"
#include "rewrite.h"
#include "track.h"
#include "tunnel.h"

#define WEIR_FRAGMENT_NS (60 * WEIR_SECOND_NS)

static __always_inline void fragment_key(const struct facts *packet,
					 struct weir_fragment_key *key)
{
	address_copy(&key->source, &packet->flow.source);
	address_copy(&key->destination, &packet->flow.destination);
	key->identification = packet->identification;
	/* A later fragment of IPv6 need not name the transport; there, the rest is enough. */
	key->protocol = packet->ipv6 ? 0 : packet->flow.protocol;
}

/* The later fragments of this packet to the same member in the same way. */
__noinline int fragment_keep(const struct facts *packet, const struct weir_service *service,
			     const struct weir_member *member, __u32 row,
			     const struct weir_flow *flow)
{
	struct weir_scratch *work = scratch_get();
	struct weir_fragment_key key __attribute__((aligned(8))) = {};
	struct weir_fragment *note;

	if (!work || !packet || !service || !member)
		return -1;
	note = &work->fragment;
	fragment_key(packet, &key);
	__builtin_memset(note, 0, sizeof(*note));
	note->seen_ns = bpf_ktime_get_coarse_ns();
	note->member = row;
	note->generation = member->generation;
	note->service = service->id;
	note->hash = packet->hash;
	note->gue_port = service->gue_port;
	note->direction = WEIR_FLOW_FORWARD;
	note->forwarding = service->forwarding;
	address_copy(&note->source, &packet->flow.source);
	address_copy(&note->destination, &packet->flow.destination);
	if (service->forwarding == WEIR_FORWARDING_NAT ||
	    service->forwarding == WEIR_FORWARDING_FULL_NAT)
		address_copy(&note->destination, &member->address);
	if (service->forwarding == WEIR_FORWARDING_FULL_NAT && flow)
		address_copy(&note->source, &flow->address);
	return bpf_map_update_elem(&fragments, &key, note, BPF_ANY);
}

/* The later fragments of this reply to the same client. */
__noinline int fragment_keep_reply(const struct facts *packet, const struct weir_flow *flow)
{
	struct weir_scratch *work = scratch_get();
	struct weir_fragment_key key __attribute__((aligned(8))) = {};
	struct weir_fragment *note;

	if (!work || !packet || !flow)
		return -1;
	note = &work->fragment;
	fragment_key(packet, &key);
	__builtin_memset(note, 0, sizeof(*note));
	note->seen_ns = bpf_ktime_get_coarse_ns();
	note->member = flow->member;
	note->generation = flow->generation;
	note->service = flow->service;
	note->direction = WEIR_FLOW_REPLY;
	note->forwarding = flow->forwarding;
	address_copy(&note->source, &flow->address);
	address_copy(&note->destination, &flow->client);
	note->interface = flow->interface;
	macs_copy(note->to_mac, flow->client_mac);
	*(move32 *)note->vlan = *(const move32 *)flow->vlan;
	return bpf_map_update_elem(&fragments, &key, note, BPF_ANY);
}

/* A later fragment: after its first one, or dropped when it is for a service, or the kernel's. */
static __always_inline int fragment_follow(struct xdp_md *context, struct packet *packet,
					   const int ipv6)
{
	struct weir_fragment_key key __attribute__((aligned(8))) = {};
	struct weir_fragment *note;
	struct weir_member *member;
	__u32 row;
	int action;

	fragment_key(packet->is, &key);
	note = bpf_map_lookup_elem(&fragments, &key);
	if (!note ||
	    flow_older(bpf_ktime_get_coarse_ns(), note->seen_ns, WEIR_FRAGMENT_NS)) {
		if (!address_find(&packet->is->flow.destination))
			return count_pass();
		return count_drop(&packet->is->flow, WEIR_DROP_FRAGMENT, 0, 0);
	}
	row = note->member;
	member = bpf_map_lookup_elem(&members, &row);
	if (!member || member->generation != note->generation)
		return count_drop(&packet->is->flow, WEIR_DROP_FRAGMENT, note->service, row);
	if (!ipv6 && ipv4_header_wrong(context, packet->is))
		return count_drop(&packet->is->flow, WEIR_DROP_IP_CHECKSUM, note->service, row);
	if (packet_ttl(packet, ipv6) < WEIR_TTL_LEAST)
		return count_drop(&packet->is->flow, WEIR_DROP_TTL_EXCEEDED, note->service, row);
	/* Nothing is said of it: errors are about first fragments (RFC 1122 §3.2.2). */
	if (note->direction == WEIR_FLOW_FORWARD &&
	    packet->is->length > member_room(member, note->forwarding, note->gue_port))
		return count_drop(&packet->is->flow, WEIR_DROP_TOO_BIG, note->service, row);
	action = way_out(packet->is,
			 note->direction == WEIR_FLOW_REPLY ? note->interface : member->interface);
	if (action == XDP_ABORTED)
		return count_drop(&packet->is->flow, WEIR_DROP_REDIRECT, note->service, row);
	if (ipv6) {
		address_write(source_of(packet, 1), &note->source, 1);
		address_write(destination_of(packet, 1), &note->destination, 1);
		packet_hop(packet, 0, 1);
	} else {
		__u64 change = address_change(&packet->is->flow.source, &note->source, 0) +
			       address_change(&packet->is->flow.destination, &note->destination, 0);

		address_write(source_of(packet, 0), &note->source, 0);
		address_write(destination_of(packet, 0), &note->destination, 0);
		packet_hop(packet, change, 0);
	}
	if (note->direction == WEIR_FLOW_REPLY) {
		count_reply(note->service, row, packet->is->bytes);
		return link_send(context, packet, note->to_mac, *(const move32 *)note->vlan, action);
	}
	count_forward(note->service, row, packet->is->bytes);
	if (note->forwarding == WEIR_FORWARDING_TUNNEL) {
		packet->is->hash = note->hash;
		packet->is->fragment = 1;
		return tunnel_send(context, packet->is, member, note->gue_port, action);
	}
	return link_send(context, packet, member->mac, *(const move32 *)member->vlan, action);
}

__noinline int fragment4(struct xdp_md *context, struct facts *facts)
{
	struct packet packet;

	if (!facts || packet_open_network(context, facts, &packet, 0))
		return XDP_DROP;
	return fragment_follow(context, &packet, 0);
}

__noinline int fragment6(struct xdp_md *context, struct facts *facts)
{
	struct packet packet;

	if (!facts || packet_open_network(context, facts, &packet, 1))
		return XDP_DROP;
	return fragment_follow(context, &packet, 1);
}

#endif
