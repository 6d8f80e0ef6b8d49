/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * A packet of a service on its way to the member, and a member's reply on its way to the client.
 *
 * Invariant: nothing is written to a packet before the decision to send it has been made, but for
 * what turns it into an answer to its sender.
 */
#ifndef WEIR_FORWARD_H
#define WEIR_FORWARD_H

#include "cookie.h"
#include "count.h"
#include "errors.h"
#include "flow.h"
#include "fragment.h"
#include "intact.h"
#include "link.h"
#include "nat.h"
#include "parse.h"
#include "rewrite.h"
#include "tunnel.h"

/* Why a packet of a service is not forwarded; 0 when it is. */
static __always_inline __u32 packet_wrong(const struct packet *packet, const int ipv6)
{
	if (!ipv6 && !ipv4_header_right(packet))
		return WEIR_DROP_IP_CHECKSUM;
	if (packet->is->flow.protocol == IPPROTO_TCP && tcp_flags_wrong(packet->is->tcp_flags))
		return WEIR_DROP_TCP_FLAGS;
	return 0;
}

/* QUIC connection ids (README): byte 0 begins with these two bits, bytes 1 and 2 name the member. */
#define WEIR_QUIC_LAYOUT_MASK 0xc0
#define WEIR_QUIC_LAYOUT 0x40
#define WEIR_QUIC_ID_LEAST 3
/* RFC 9000 §17.2 and §17.3. */
#define WEIR_QUIC_LONG 0x80
#define WEIR_QUIC_FIXED 0x40
#define WEIR_QUIC_TYPE_MASK 0x30
#define WEIR_QUIC_TYPE_HANDSHAKE 0x20
/* RFC 9369 §3.1 and §3.2. */
#define WEIR_QUIC_VERSION2 0x6b3343cf
#define WEIR_QUIC_TYPE_HANDSHAKE2 0x30
#define WEIR_QUIC_LEAST 9 /* bytes of a packet with a connection id of the member's */

/*
 * The server id in the packet's connection id, with bit 16 set; 0 when it has none. A client's
 * first packets carry an id of its own making, which is never looked at.
 */
static __noinline __u32 quic_id(const struct packet *packet)
{
	const struct udphdr *udp = packet->transport;
	__u8 *first = packet->transport + sizeof(*udp);
	__u8 *id = first + 1;

	if (packet->is->flow.protocol != IPPROTO_UDP ||
	    (void *)(first + WEIR_QUIC_LEAST) > packet->end ||
	    bpf_ntohs(udp->len) < sizeof(*udp) + WEIR_QUIC_LEAST || !(*first & WEIR_QUIC_FIXED))
		return 0;
	if (*first & WEIR_QUIC_LONG) {
		__u32 version = bpf_ntohl(*(move32 *)(first + 1));
		__u32 type = *first & WEIR_QUIC_TYPE_MASK;

		/* Version, length of the id, id. */
		if (!(version == 1 && type == WEIR_QUIC_TYPE_HANDSHAKE) &&
		    !(version == WEIR_QUIC_VERSION2 && type == WEIR_QUIC_TYPE_HANDSHAKE2))
			return 0;
		if (first[5] < WEIR_QUIC_ID_LEAST)
			return 0;
		id = first + 6;
	}
	if ((id[0] & WEIR_QUIC_LAYOUT_MASK) != WEIR_QUIC_LAYOUT)
		return 0;
	return id[1] | (__u32)id[2] << 8 | 1 << 16;
}

/*
 * Whether a datagram's checksum does not say what the whole packet adds up to: it has none, or
 * bytes follow that it does not cover (RFC 9868).
 */
static __always_inline __u32 udp_unsummed(const struct packet *packet)
{
	const struct udphdr *udp = packet->transport;

	return packet->is->flow.protocol == IPPROTO_UDP &&
	       (!*packet->check ||
		bpf_ntohs(udp->len) != packet->is->length - packet->is->header);
}

/* A packet for a service. */
static __always_inline int forward_to_member(struct xdp_md *context, struct packet *packet,
					     const struct weir_service *service, const int ipv6)
{
	struct weir_flow *flow = 0;
	struct weir_member *member;
	__u32 row, reason, room;
	int routed, action;

	reason = packet_wrong(packet, ipv6);
	if (reason)
		return count_drop(&packet->is->flow, reason, service->id, 0);
	if (service->protect & WEIR_PROTECT_ACCESS) {
		reason = protect_source(packet->is, service);
		if (reason)
			return count_drop(&packet->is->flow, reason, service->id, 0);
	}
	if (packet_ttl(packet, ipv6) < WEIR_TTL_LEAST)
		return ttl_exceeded(context, packet->is, service->id, 0);
	packet->is->quic = 0;
	if (service->flags & WEIR_SERVICE_QUIC)
		packet->is->quic = quic_id(packet);
	if (rewrites_addresses(service->forwarding)) {
		mac_copy(packet->is->from_mac, packet->ethernet->h_source);
		mac_copy(packet->is->to_mac, packet->ethernet->h_dest);
		packet->is->back_vlan = vlan_back(packet);
	}
	if (service->flags & WEIR_SERVICE_TRACK)
		routed = flow_tracked(packet->is, service, &flow, ipv6);
	else
		routed = flow_hashed(packet->is, service, ipv6);
	if (routed == WEIR_ROUTE_COOKIE)
		return WEIR_ASK_COOKIE;
	if (routed == WEIR_ROUTE_RESET) {
		count_drop(&packet->is->flow, WEIR_DROP_NO_MEMBER, service->id, 0);
		return tcp_reset(context, packet->is);
	}
	if (routed <= 0)
		return count_drop(&packet->is->flow, -routed, service->id, 0);
	row = routed;
	member = bpf_map_lookup_elem(&members, &row);
	/* The daemon writes rows before slots: for a moment a slot may name one that is down. */
	if (!member || (!member_lives(member) && !probe_row(packet->is)))
		return count_drop(&packet->is->flow, WEIR_DROP_NO_MEMBER, service->id, row);
	room = member_room(member, service->forwarding, service->gue_port);
	if (packet->is->length > room)
		return too_big(context, packet, service->id, row, room);
	action = way_out(packet->is, member->interface);
	if (action == XDP_ABORTED)
		return count_drop(&packet->is->flow, WEIR_DROP_REDIRECT, service->id, row);
	count_forward(service->id, row, packet->is->bytes);
	if (packet->is->fragment)
		fragment_keep(packet->is, service, member, row, flow);
	if (service->mss && packet->is->tcp_flags & WEIR_TCP_SYN)
		clamp_segment(context, packet, service->mss);
	if (packet->is->cookie & WEIR_FLOW_TRANSLATED)
		cookie_acknowledge(packet);
	switch (service->forwarding) {
	case WEIR_FORWARDING_NAT:
		nat_destination(packet, &member->address,
				member->port ? member->port : packet->is->flow.destination_port, ipv6);
		break;
	case WEIR_FORWARDING_FULL_NAT: {
		struct endpoint source, destination;

		if (!flow)
			return XDP_ABORTED;
		source.address = &flow->address;
		source.port = flow->port;
		destination.address = &member->address;
		destination.port = member->port ? member->port : packet->is->flow.destination_port;
		nat_both(packet, &source, &destination, ipv6);
		break;
	}
	case WEIR_FORWARDING_TUNNEL:
		packet_hop(packet, 0, ipv6);
		packet->is->unsummed = udp_unsummed(packet);
		return tunnel_send(context, packet->is, member, service->gue_port, action);
	default:
		packet_hop(packet, 0, ipv6);
	}
	return link_send(context, packet, member->mac, *(const move32 *)member->vlan, action);
}

/*
 * A packet from a member's service port that no flow explains. A member's own traffic may have
 * that source port too (NTP speaks from 123 to 123): datagrams and new connections are the
 * kernel's. So is what a socket here waits for, the unit's monitors above all. Any other segment
 * is most likely of a flow whose entry is gone: it would reach the client from an address that it
 * never spoke to, and the client's reset would end a connection that is well.
 */
__noinline int reply_unknown(struct xdp_md *context, const struct facts *packet)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *owner;
	__u32 size;

	if (!packet || packet->flow.protocol != IPPROTO_TCP || packet_opens(packet))
		return count_pass();
	if (packet->ipv6) {
		__builtin_memcpy(tuple.ipv6.saddr, &packet->flow.source, 16);
		__builtin_memcpy(tuple.ipv6.daddr, &packet->flow.destination, 16);
		tuple.ipv6.sport = packet->flow.source_port;
		tuple.ipv6.dport = packet->flow.destination_port;
		size = sizeof(tuple.ipv6);
	} else {
		tuple.ipv4.saddr = packet->flow.source.word[3];
		tuple.ipv4.daddr = packet->flow.destination.word[3];
		tuple.ipv4.sport = packet->flow.source_port;
		tuple.ipv4.dport = packet->flow.destination_port;
		size = sizeof(tuple.ipv4);
	}
	owner = bpf_skc_lookup_tcp(context, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!owner)
		return count_drop(&packet->flow, WEIR_DROP_NO_FLOW, 0, 0);
	bpf_sk_release(owner);
	return count_pass();
}

/* What a member's packet says of its connection: its first answer, its end. */
static __always_inline void reply_follow(const struct packet *packet, struct weir_flow *flow)
{
	if (!(flow->flags & WEIR_FLOW_ESTABLISHED)) {
		flow_flag(flow, WEIR_FLOW_ESTABLISHED);
		if (packet_accepts(packet->is)) {
			__s64 took = bpf_ktime_get_ns() - flow->seen_ns;

			count_answer(flow->service, flow->member, took > 0 ? took : 0);
		}
	}
	if (packet->is->tcp_flags & (WEIR_TCP_FIN | WEIR_TCP_RST)) {
		if (packet->is->tcp_flags & WEIR_TCP_RST)
			count_reset(flow->service, flow->member);
		flow->closing = closing_after(packet->is, flow->closing, WEIR_CLOSING_MEMBER);
		reply_tell(packet->is, flow);
	}
}

/* Lowers the largest segment that a member announces, if the service says so. */
static __always_inline void reply_clamp(struct xdp_md *context, struct packet *packet, const struct weir_flow *flow)
{
	__u32 id = flow->service;
	struct weir_placement *placement = bpf_map_lookup_elem(&placements, &id);

	if (placement && placement->mss)
		clamp_segment(context, packet, placement->mss);
}

/* A packet from a member's service port. */
static __always_inline int forward_to_client(struct xdp_md *context, struct packet *packet,
					     const int ipv6)
{
	struct weir_flow *flow;
	__u32 reason;
	int action;

	flow = flow_find(&packet->is->flow);
	if (!flow || flow->direction != WEIR_FLOW_REPLY)
		return reply_unknown(context, packet->is);
	reason = packet_wrong(packet, ipv6);
	if (reason)
		return count_drop(&packet->is->flow, reason, flow->service, flow->member);
	if (packet_ttl(packet, ipv6) < WEIR_TTL_LEAST)
		return ttl_exceeded(context, packet->is, flow->service, flow->member);
	if (flow->flags & WEIR_COOKIE_FLOW &&
	    cookie_member_due(packet->is, flow))
		return WEIR_ASK_COOKIE;
	action = way_out(packet->is, flow->interface);
	if (action == XDP_ABORTED)
		return count_drop(&packet->is->flow, WEIR_DROP_REDIRECT, flow->service, flow->member);
	reply_follow(packet, flow);
	packet->is->now = bpf_ktime_get_coarse_ns();
	if (flow_older(packet->is->now, flow->seen_ns, WEIR_FLOW_REFRESH_NS))
		flow->seen_ns = packet->is->now;
	count_reply(flow->service, flow->member, packet->is->bytes);
	if (packet->is->fragment)
		fragment_keep_reply(packet->is, flow);
	if (packet->is->tcp_flags & WEIR_TCP_SYN)
		reply_clamp(context, packet, flow);
	if (flow->flags & WEIR_FLOW_TRANSLATED)
		cookie_sequence(packet, flow->delta);
	if (flow->forwarding == WEIR_FORWARDING_FULL_NAT) {
		struct endpoint source = { .address = &flow->address, .port = flow->port };
		struct endpoint destination = { .address = &flow->client,
						.port = flow->client_port };

		nat_both(packet, &source, &destination, ipv6);
	} else {
		nat_source(packet, &flow->address, flow->port, ipv6);
	}
	return link_send(context, packet, flow->client_mac, *(const move32 *)flow->vlan, action);
}

__noinline int to_member4(struct xdp_md *context, struct facts *facts,
			  const struct weir_service *service)
{
	struct packet packet;

	if (!facts || !service || packet_open_flow(context, facts, &packet, 0))
		return XDP_DROP;
	return forward_to_member(context, &packet, service, 0);
}

__noinline int to_member6(struct xdp_md *context, struct facts *facts,
			  const struct weir_service *service)
{
	struct packet packet;

	if (!facts || !service || packet_open_flow(context, facts, &packet, 1))
		return XDP_DROP;
	return forward_to_member(context, &packet, service, 1);
}

__noinline int to_client4(struct xdp_md *context, struct facts *facts)
{
	struct packet packet;

	if (!facts || packet_open_flow(context, facts, &packet, 0))
		return XDP_DROP;
	return forward_to_client(context, &packet, 0);
}

__noinline int to_client6(struct xdp_md *context, struct facts *facts)
{
	struct packet packet;

	if (!facts || packet_open_flow(context, facts, &packet, 1))
		return XDP_DROP;
	return forward_to_client(context, &packet, 1);
}

#endif
