/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Rewriting a packet and sending it on. Tunnels and full nat will stand beside dsr and nat.
 * Forwarding counts as a hop: TTL or hop limit goes down by one (RFC 1812 §5.3.1, RFC 8200 §3).
 *
 * Invariant: every field that a checksum covers is changed through checksum.h in the same
 * function, and nothing is written before the decision to send the packet has been made.
 */
#ifndef WEIR_FORWARD_H
#define WEIR_FORWARD_H

#include "checksum.h"
#include "count.h"
#include "flow.h"
#include "parse.h"

#define WEIR_TTL_LEAST 2 /* the next hop must still get at least 1 */

static __always_inline void mac_copy(void *to, const void *from)
{
	*(move32 *)to = *(const move32 *)from;
	*(move16 *)(to + 4) = *(const move16 *)(from + 4);
}

static __always_inline __u32 packet_ttl(const struct packet *packet, const int ipv6)
{
	return ipv6 ? ((struct ipv6hdr *)packet->network)->hop_limit :
		      ((struct iphdr *)packet->network)->ttl;
}

/* One hop more; `change` is what else happens to the IPv4 header's sum. */
static __always_inline void packet_hop(struct packet *packet, __u64 change, const int ipv6)
{
	if (ipv6) {
		((struct ipv6hdr *)packet->network)->hop_limit--;
	} else {
		struct iphdr *ip = packet->network;

		ip->ttl--;
		/* The TTL is the high byte of its word: one less there is this much less. */
		change += (__u16)~bpf_htons(1 << 8);
		ip->check = checksum_apply(ip->check, change);
	}
}

/* Changes the transport checksum. A UDP checksum of zero means none (RFC 768, RFC 6935). */
static __always_inline void transport_sum(struct packet *packet, __u64 change)
{
	__u16 sum = *packet->check;

	if (packet->flow.protocol == IPPROTO_TCP) {
		sum = checksum_apply(sum, change);
	} else if (sum) {
		sum = checksum_apply(sum, change);
		if (!sum)
			sum = 0xffff;
	}
	*packet->check = sum;
}

/* What an address and a port are replaced by, and the sum of that. */
static __always_inline __u64 address_change(const struct weir_address *from,
					    const struct weir_address *to, const int ipv6)
{
	if (ipv6)
		return checksum_replace_address(0, from, to);
	return checksum_replace32(0, from->word[3], to->word[3]);
}

static __always_inline void address_write(void *at, const struct weir_address *to, const int ipv6)
{
	if (ipv6)
		address_copy(at, to);
	else
		*(__be32 *)at = to->word[3];
}

/* The destination becomes the member's own address and port. */
static __always_inline void nat_destination(struct packet *packet, const struct weir_member *member,
					    const int ipv6)
{
	struct tcphdr *ports_of = packet->transport; /* UDP has them in the same place */
	__be16 port = member->port ? member->port : packet->flow.destination_port;
	__u64 change = address_change(&packet->flow.destination, &member->address, ipv6);

	transport_sum(packet,
		      checksum_replace16(change, packet->flow.destination_port, port));
	ports_of->dest = port;
	address_write(ipv6 ? (void *)&((struct ipv6hdr *)packet->network)->daddr :
			     (void *)&((struct iphdr *)packet->network)->daddr,
		      &member->address, ipv6);
	packet_hop(packet, change, ipv6);
}

/* The source becomes the service's address and port again. */
static __always_inline void nat_source(struct packet *packet, const struct weir_flow *reply,
				       const int ipv6)
{
	struct tcphdr *ports_of = packet->transport;
	__u64 change = address_change(&packet->flow.source, &reply->address, ipv6);

	transport_sum(packet, checksum_replace16(change, packet->flow.source_port, reply->port));
	ports_of->source = reply->port;
	address_write(ipv6 ? (void *)&((struct ipv6hdr *)packet->network)->saddr :
			     (void *)&((struct iphdr *)packet->network)->saddr,
		      &reply->address, ipv6);
	packet_hop(packet, change, ipv6);
}

/* How to leave by an interface: XDP_TX, XDP_REDIRECT, or XDP_ABORTED when there is no way. */
static __always_inline int way_out(const struct packet *packet, __u32 interface)
{
	if (interface == packet->interface)
		return XDP_TX;
	return bpf_redirect_map(&ports, interface, 0);
}

/* A packet for a service. */
static __always_inline int forward_to_member(struct packet *packet,
					     const struct weir_service *service, const int ipv6)
{
	struct weir_flow *flow;
	struct weir_member *member = 0;
	__u32 row = 0, previous = 0;
	int action;

	if (service->protect & WEIR_PROTECT_ACCESS) {
		__u32 denied = protect_source(packet, service);

		if (denied)
			return count_drop(&packet->flow, denied, service->id, 0);
	}
	if (packet_ttl(packet, ipv6) < WEIR_TTL_LEAST)
		return count_drop(&packet->flow, WEIR_DROP_TTL_EXCEEDED, service->id, 0);
	packet->now = bpf_ktime_get_coarse_ns();
	flow = bpf_map_lookup_elem(&flows, &packet->flow);
	if (flow && flow->direction == WEIR_FLOW_FORWARD) {
		row = flow->member;
		member = flow_member(packet, flow, row);
		if (!member && flow_lost_member(packet, flow))
			previous = row;
	}
	if (member) {
		int due = flow_older(packet->now, flow->seen_ns, WEIR_FLOW_REFRESH_NS);

		if (due)
			flow->seen_ns = packet->now;
		if (packet->tcp_flags & (WEIR_TCP_FIN | WEIR_TCP_RST)) {
			if (!flow->closing)
				flow_ended(packet, service->id, row);
			flow->closing = closing_after(packet, flow->closing, WEIR_CLOSING_CLIENT);
		}
		if (service->forwarding == WEIR_FORWARDING_NAT &&
		    (due ||
		     packet->tcp_flags & (WEIR_TCP_SYN | WEIR_TCP_FIN | WEIR_TCP_RST))) {
			__u32 reason = reply_keep(packet, service, member, row);

			if (reason)
				return count_drop(&packet->flow, reason, service->id, row);
		}
	} else {
		int begun = flow_begin(packet, service, previous);

		if (begun <= 0)
			return count_drop(&packet->flow, -begun, service->id, 0);
		row = begun;
		member = bpf_map_lookup_elem(&members, &row);
		if (!member)
			return XDP_ABORTED;
	}

	action = way_out(packet, member->interface);
	if (action == XDP_ABORTED)
		return count_drop(&packet->flow, WEIR_DROP_REDIRECT, service->id, row);
	count_forward(service->id, row, packet->bytes);
	if (service->forwarding == WEIR_FORWARDING_NAT)
		nat_destination(packet, member, ipv6);
	else
		packet_hop(packet, 0, ipv6);
	mac_copy(packet->ethernet->h_dest, member->mac);
	mac_copy(packet->ethernet->h_source, member->source_mac);
	return action;
}

/*
 * A packet from a member's service port that no flow explains. A member's own traffic may have
 * that source port too (NTP speaks from 123 to 123): datagrams and new connections are the
 * kernel's. So is what a socket here waits for, the unit's monitors above all. Any other segment
 * is most likely of a flow whose entry the table gave away: it would reach the client from an
 * address that it never spoke to, and the client's reset would end a connection that is well.
 */
static __noinline int reply_unknown(struct xdp_md *context, const struct packet *packet, int ipv6)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *owner;
	__u32 size;

	if (packet->flow.protocol != IPPROTO_TCP || packet_opens(packet))
		return count_pass();
	if (ipv6) {
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

/* A packet for no service: a member's reply, or the kernel's. */
static __always_inline int forward_to_client(struct xdp_md *context, struct packet *packet,
					     const int ipv6)
{
	struct weir_reply_key key __attribute__((aligned(8)));
	struct weir_settings *tuning;
	struct weir_flow *flow;
	__u32 row = 0;
	int action;

	tuning = bpf_map_lookup_elem(&settings, &row);
	if (!tuning || !tuning->nat_services)
		return count_pass();
	address_copy(&key.address, &packet->flow.source);
	*(move32 *)&key.port = key_end(packet->flow.source_port, packet->flow.protocol);
	if (!bpf_map_lookup_elem(&reply_sources, &key))
		return count_pass();
	flow = bpf_map_lookup_elem(&flows, &packet->flow);
	if (!flow || flow->direction != WEIR_FLOW_REPLY)
		return reply_unknown(context, packet, ipv6);
	if (packet_ttl(packet, ipv6) < WEIR_TTL_LEAST)
		return count_drop(&packet->flow, WEIR_DROP_TTL_EXCEEDED, flow->service,
				  flow->member);
	action = way_out(packet, flow->interface);
	if (action == XDP_ABORTED)
		return count_drop(&packet->flow, WEIR_DROP_REDIRECT, flow->service, flow->member);
	packet->now = bpf_ktime_get_coarse_ns();
	if (flow_older(packet->now, flow->seen_ns, WEIR_FLOW_REFRESH_NS))
		flow->seen_ns = packet->now;
	if (packet->tcp_flags & (WEIR_TCP_FIN | WEIR_TCP_RST))
		flow->closing = closing_after(packet, flow->closing, WEIR_CLOSING_MEMBER);
	count_reply(flow->service, flow->member, packet->bytes);
	nat_source(packet, flow, ipv6);
	mac_copy(packet->ethernet->h_dest, flow->client_mac);
	mac_copy(packet->ethernet->h_source, flow->unit_mac);
	return action;
}

#endif
