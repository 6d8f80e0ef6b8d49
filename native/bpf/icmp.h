/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * ICMP and ICMPv6 (RFC 792, RFC 4443): echo requests for service addresses are answered in place;
 * errors go to whom the packet that they quote belongs to. An error about a member's answer goes
 * to the member (path MTU discovery fails without it), one about a packet that nat sent to a
 * member goes to the client, and what they quote becomes what its sender sent (RFC 5508 §4.2).
 * The 8 bytes behind the quoted IP header, which every error has, are enough.
 *
 * Invariant: an echo's answer goes back to where the frame came from and is as long as the
 * request. A wrong checksum stays wrong.
 */
#ifndef WEIR_ICMP_H
#define WEIR_ICMP_H

#include "checksum.h"
#include "forward.h"
#include "intact.h"
#include "quoted.h"

#define WEIR_ECHO_TTL 64
#define WEIR_ICMP_ECHO_REQUEST 8
#define WEIR_ICMP_ECHO_REPLY 0
#define WEIR_ICMP_PARAMETER_PROBLEM 12
#define WEIR_ICMP6_ECHO_REQUEST 128
#define WEIR_ICMP6_ECHO_REPLY 129
#define WEIR_ICMP6_LAST_ERROR 4

static __always_inline int icmp_answer(struct packet *packet, struct icmp_header *echo,
				       const int ipv6)
{
	const __u8 request = ipv6 ? WEIR_ICMP6_ECHO_REQUEST : WEIR_ICMP_ECHO_REQUEST;
	const __u8 reply = ipv6 ? WEIR_ICMP6_ECHO_REPLY : WEIR_ICMP_ECHO_REPLY;
	__u8 mac[ETH_ALEN] __attribute__((aligned(4)));
	struct weir_totals *total;

	echo->type = reply;
	/* The type is the high byte of its word. */
	echo->check = checksum_apply(echo->check, checksum_replace16(0, bpf_htons(request << 8),
								     bpf_htons(reply << 8)));
	if (ipv6) {
		struct ipv6hdr *ip = packet->network;

		address_write(&ip->saddr, &packet->is->flow.destination, 1);
		address_write(&ip->daddr, &packet->is->flow.source, 1);
		ip->hop_limit = WEIR_ECHO_TTL;
	} else {
		struct iphdr *ip = packet->network;

		ip->saddr = packet->is->flow.destination.word[3];
		ip->daddr = packet->is->flow.source.word[3];
		ip->check = checksum_apply(
			ip->check, checksum_replace16(0, bpf_htons(ip->ttl << 8),
						      bpf_htons(WEIR_ECHO_TTL << 8)));
		ip->ttl = WEIR_ECHO_TTL;
	}
	mac_copy(mac, packet->ethernet->h_dest);
	mac_copy(packet->ethernet->h_dest, packet->ethernet->h_source);
	mac_copy(packet->ethernet->h_source, mac);
	total = count_totals();
	if (total)
		total->echo_replies++;
	return XDP_TX;
}

/* The addresses of the error itself, and its checksum with `change` in what it covers. */
static __always_inline void icmp_readdress(struct packet *packet, struct icmp_header *icmp,
					   const struct weir_address *source,
					   const struct weir_address *destination, __u64 change,
					   const int ipv6)
{

	if (ipv6) {
		struct ipv6hdr *ip = packet->network;

		if (source) {
			change += change_at(&ip->saddr, source);
			address_copy(&ip->saddr, source);
		}
		change += change_at(&ip->daddr, destination);
		address_copy(&ip->daddr, destination);
		packet_hop(packet, 0, 1);
	} else {
		struct iphdr *ip = packet->network;
		__u64 addresses = 0;

		if (source) {
			addresses = checksum_replace32(0, ip->saddr, source->word[3]);
			ip->saddr = source->word[3];
		}
		addresses = checksum_replace32(addresses, ip->daddr, destination->word[3]);
		ip->daddr = destination->word[3];
		packet_hop(packet, addresses, 0);
	}
	icmp->check = checksum_apply(icmp->check, change);
}

/* An error for a service address: it is about an answer to a client, and so the member's. */
static __always_inline int icmp_to_member(struct xdp_md *context, struct packet *packet,
					  struct icmp_header *icmp, const struct quoted *quoted,
					  const int ipv6)
{
	struct weir_service_key key __attribute__((aligned(8)));
	struct weir_service *service;
	struct weir_member *member;
	struct weir_flow *flow;
	int action;
	__u32 row;

	flow_turn(&packet->is->flow);
	address_copy(&key.address, &packet->is->flow.destination);
	*(move32 *)&key.port = key_end(packet->is->flow.destination_port, packet->is->flow.protocol);
	service = bpf_map_lookup_elem(&services, &key);
	if (!service)
		return count_pass();
	row = flow_locate(packet->is, service);
	member = bpf_map_lookup_elem(&members, &row);
	if (!row || !member_lives(member))
		return count_drop(&packet->is->flow, WEIR_DROP_ICMP, service->id, 0);
	if (packet->is->length > member_room(member, service->forwarding, service->gue_port))
		return count_drop(&packet->is->flow, WEIR_DROP_TOO_BIG, service->id, row);
	if (packet_ttl(packet, ipv6) < WEIR_TTL_LEAST)
		return count_drop(&packet->is->flow, WEIR_DROP_TTL_EXCEEDED, service->id, row);
	action = way_out(packet->is, member->interface);
	if (action == XDP_ABORTED)
		return count_drop(&packet->is->flow, WEIR_DROP_REDIRECT, service->id, row);
	count_forward(service->id, row, packet->is->bytes);
	if (rewrites_addresses(service->forwarding)) {
		struct ends ends = {
			.source = &member->address,
			.destination = &packet->is->flow.source,
			.source_port = member->port ? member->port : packet->is->flow.destination_port,
			.destination_port = packet->is->flow.source_port,
		};
		__u64 change;

		flow = flow_find(&packet->is->flow);
		if (flow && flow->flags & WEIR_FLOW_TRANSLATED)
			ends.ahead = flow->delta;
		if (service->forwarding == WEIR_FORWARDING_FULL_NAT) {
			if (!flow)
				return count_drop(&packet->is->flow, WEIR_DROP_ICMP, service->id, row);
			ends.destination = &flow->address;
			ends.destination_port = flow->port;
		}
		change = quoted_rewrite(packet, quoted, &ends, ipv6);
		icmp_readdress(packet, icmp, 0, &member->address, change, ipv6);
	} else {
		packet_hop(packet, 0, ipv6);
		if (service->forwarding == WEIR_FORWARDING_TUNNEL) {
			packet->is->flow.protocol = ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
			return tunnel_send(context, packet->is, member, service->gue_port,
					   action);
		}
	}
	return link_send(context, packet, member->mac, *(const move32 *)member->vlan, action);
}

/* An error about a packet that nat sent to a member: the client's. */
static __always_inline int icmp_to_client(struct xdp_md *context, struct packet *packet,
					  struct icmp_header *icmp, const struct quoted *quoted,
					  const int ipv6)
{
	struct weir_settings *tuning = tuning_get();
	struct weir_reply_key key __attribute__((aligned(8)));
	struct weir_flow *flow;
	struct ends ends = {};
	__u64 change;
	int action;

	if (!tuning || !tuning->nat_services)
		return count_pass();
	address_copy(&key.address, &packet->is->flow.destination);
	*(move32 *)&key.port = key_end(packet->is->flow.destination_port, packet->is->flow.protocol);
	if (!bpf_map_lookup_elem(&reply_sources, &key))
		return count_pass();
	flow_turn(&packet->is->flow);
	flow = flow_find(&packet->is->flow);
	/* The unit's own probes are told of their errors by the kernel. */
	if (!flow || flow->direction != WEIR_FLOW_REPLY)
		return count_pass();
	if (!ipv6 && ipv4_header_wrong(context, packet->is))
		return count_drop(&packet->is->flow, WEIR_DROP_IP_CHECKSUM, flow->service,
				  flow->member);
	if (packet_ttl(packet, ipv6) < WEIR_TTL_LEAST)
		return count_drop(&packet->is->flow, WEIR_DROP_TTL_EXCEEDED, flow->service,
				  flow->member);
	action = way_out(packet->is, flow->interface);
	if (action == XDP_ABORTED)
		return count_drop(&packet->is->flow, WEIR_DROP_REDIRECT, flow->service, flow->member);
	count_reply(flow->service, flow->member, packet->is->bytes);
	ends.source = &flow->client;
	ends.destination = &flow->address;
	ends.source_port = flow->client_port;
	ends.destination_port = flow->port;
	change = quoted_rewrite(packet, quoted, &ends, ipv6);
	/* A member speaks as the service; a router on the way as itself. */
	if (source_is(packet, &packet->is->flow.source, ipv6))
		icmp_readdress(packet, icmp, &flow->address, &flow->client, change, ipv6);
	else
		icmp_readdress(packet, icmp, 0, &flow->client, change, ipv6);
	return link_send(context, packet, flow->client_mac, *(const move32 *)flow->vlan, action);
}

/* An error of either kind, which is opened anew. */
static __always_inline int icmp_relay(struct xdp_md *context, struct facts *facts,
				      const int to_member, const int ipv6)
{
	struct packet packet;
	struct quoted quoted;
	struct icmp_header *icmp;

	if (!facts || packet_open(context, facts, &packet, ipv6))
		return count_pass();
	icmp = packet.transport;
	if ((void *)(icmp + 1) > packet.end || icmp_quoted(&packet, icmp, &quoted, ipv6))
		return count_pass();
	if (to_member)
		return icmp_to_member(context, &packet, icmp, &quoted, ipv6);
	return icmp_to_client(context, &packet, icmp, &quoted, ipv6);
}

__noinline int icmp4_to_member(struct xdp_md *context, struct facts *facts)
{
	return icmp_relay(context, facts, 1, 0);
}

__noinline int icmp6_to_member(struct xdp_md *context, struct facts *facts)
{
	return icmp_relay(context, facts, 1, 1);
}

__noinline int icmp4_to_client(struct xdp_md *context, struct facts *facts)
{
	return icmp_relay(context, facts, 0, 0);
}

__noinline int icmp6_to_client(struct xdp_md *context, struct facts *facts)
{
	return icmp_relay(context, facts, 0, 1);
}

/* ICMP in any form. */
static __always_inline int icmp_handle(struct xdp_md *context, struct facts *facts, const int ipv6)
{
	struct packet packet;
	struct icmp_header *icmp;
	__u32 *flags;

	if (packet_open(context, facts, &packet, ipv6))
		return count_pass();
	icmp = packet.transport;
	if ((void *)(icmp + 1) > packet.end || !packet_holds(&packet, icmp, sizeof(*icmp)))
		return count_pass();
	flags = address_find(&facts->flow.destination);
	if (icmp->type == (ipv6 ? WEIR_ICMP6_ECHO_REQUEST : WEIR_ICMP_ECHO_REQUEST)) {
		/* Options would have to be turned around: the kernel's. */
		if (!flags || !(*flags & WEIR_ADDRESS_ECHO) || icmp->code || !answerable(facts) ||
		    packet.transport != packet.network + (ipv6 ? sizeof(struct ipv6hdr) :
								 sizeof(struct iphdr)))
			return count_pass();
		if (!ipv6 && ipv4_header_wrong(context, facts))
			return count_drop(&facts->flow, WEIR_DROP_IP_CHECKSUM, 0, 0);
		return icmp_answer(&packet, icmp, ipv6);
	}
	if (ipv6 ? icmp->type < 1 || icmp->type > WEIR_ICMP6_LAST_ERROR :
		   icmp->type != WEIR_ICMP_UNREACHABLE &&
			   icmp->type != WEIR_ICMP_TIME_EXCEEDED &&
			   icmp->type != WEIR_ICMP_PARAMETER_PROBLEM)
		return count_pass();
	if (flags && !ipv6 && ipv4_header_wrong(context, facts))
		return count_drop(&facts->flow, WEIR_DROP_IP_CHECKSUM, 0, 0);
	if (ipv6)
		return flags ? icmp6_to_member(context, facts) : icmp6_to_client(context, facts);
	return flags ? icmp4_to_member(context, facts) : icmp4_to_client(context, facts);
}

__noinline int icmp4(struct xdp_md *context, struct facts *facts)
{
	return facts ? icmp_handle(context, facts, 0) : XDP_DROP;
}

__noinline int icmp6(struct xdp_md *context, struct facts *facts)
{
	return facts ? icmp_handle(context, facts, 1) : XDP_DROP;
}

#endif
