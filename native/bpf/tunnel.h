/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * A whole packet inside another one, to a member of any family: IP in IP (RFC 2003, RFC 2473,
 * RFC 4213) and GUE variant 1, which is IP in UDP (draft-ietf-intarea-gue-09 §4). Traffic class
 * and congestion marks are those of the packet inside (RFC 6040 §4.1). Fragments are never made:
 * what does not fit is told to its sender before.
 *
 * The outer source differs from flow to flow, so that receive queues of the member share the
 * work: the hash stands in its free bits, and in the source port of GUE.
 *
 * Invariant: no byte of the inner packet is read but its headers. The outer UDP checksum follows
 * from them, because a packet with a right checksum sums up to what its pseudo-header lacks.
 */
#ifndef WEIR_TUNNEL_H
#define WEIR_TUNNEL_H

#include "checksum.h"
#include "errors.h"
#include "link.h"

#define WEIR_TUNNEL_TTL 64
#define WEIR_GUE_PORTS 0xc000 /* RFC 6335 §6: where ephemeral ports begin */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the checksum is a word's upper half");

/* What goes before the packet. The family outside may be another one than that of the content. */
static __always_inline __u32 tunnel_overhead(__u32 outer6, __be16 gue_port)
{
	return (outer6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) +
	       (gue_port ? sizeof(struct udphdr) : 0);
}

/* The longest IP packet that can be sent to a member so. */
static __always_inline __u32 member_room(const struct weir_member *member, __u32 forwarding,
					 __be16 gue_port)
{
	if (!member->mtu)
		return ~0U; /* no packet is longer */
	return forwarding == WEIR_FORWARDING_TUNNEL ?
		       member->mtu - tunnel_overhead(!address_is_ipv4(&member->address), gue_port) :
		       member->mtu;
}

/*
 * The sum of all of the packet, which is right in itself; -1 when it cannot be known without
 * walking it. An IPv4 header adds up to nothing; neither does ICMP. A TCP, UDP or ICMPv6 message
 * adds up to the complement of its pseudo-header, whose addresses an IPv6 header has once more.
 * `words`: the first two of an IPv6 header.
 */
static __always_inline __s64 tunnel_inner_sum(const struct facts *packet, __u64 words)
{
	__u32 protocol = packet->flow.protocol;
	__u32 length = packet->length - packet->header;

	if (packet->fragment || (protocol == IPPROTO_UDP && packet->unsummed))
		return -1;
	if (packet->ipv6)
		return packet->header != sizeof(struct ipv6hdr) ?
			       -1 :
			       (__s64)(words + (__u32)~bpf_htonl(length) +
				       (__u32)~bpf_htonl(protocol));
	if (protocol == IPPROTO_ICMP)
		return 0;
	return (__s64)(__u32)~packet->flow.source.word[3] +
	       (__u32)~packet->flow.destination.word[3] + (__u32)~bpf_htonl(protocol) +
	       (__u32)~bpf_htonl(length);
}

/* See tunnel_send. The family outside is a constant: less waits in registers and on the stack. */
static __always_inline int tunnel_into(struct xdp_md *context, const struct facts *packet,
				       const struct weir_member *member, __be16 gue_port,
				       int action, const int outer6)
{
	struct weir_settings *tuning = tuning_get();
	__u32 overhead, vlan, length, traffic_class, l2;
	__s64 inner = -1;
	struct udphdr *udp;
	void *data, *end;
	move32 *head;

	if (!tuning || !packet || !member)
		return XDP_DROP;
	overhead = tunnel_overhead(outer6, gue_port);
	vlan = *(const move32 *)member->vlan;
	length = packet->length;
	head = (void *)(long)context->data + bounded(packet->l2, WEIR_MAX_LINK_BYTES);
	end = (void *)(long)context->data_end;
	if ((void *)(head + 2) > end)
		return XDP_DROP;
	traffic_class = packet->ipv6 ? bpf_ntohl(head[0]) >> 20 & 0xff :
				       bpf_ntohl(head[0]) >> 16 & 0xff;
	if (gue_port)
		inner = tunnel_inner_sum(packet, (__u64)head[0] + head[1]);
	if (bpf_xdp_adjust_head(context, (int)(packet->l2 - ETH_HLEN) - (int)vlan_bytes(vlan) -
						 (int)overhead))
		return count_drop(&packet->flow, WEIR_DROP_HEADROOM, 0, 0);
	data = (void *)(long)context->data;
	end = (void *)(long)context->data_end;
	l2 = link_write(data, end, member->mac, vlan,
			outer6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP));
	if (!l2)
		return XDP_DROP;
	length += overhead;
	if (outer6) {
		struct ipv6hdr *ip = data + l2;

		udp = (void *)(ip + 1);
		if ((void *)(udp + 1) > end)
			return XDP_DROP;
		__u32 next = gue_port ? IPPROTO_UDP : packet->ipv6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
		const move64 *from = (const move64 *)&tuning->tunnel_source6;

		length -= sizeof(*ip);
		((move32 *)ip)[0] = bpf_htonl(6U << 28 | traffic_class << 20);
		((move32 *)ip)[1] = bpf_htonl(length << 16 | next << 8 | WEIR_TUNNEL_TTL);
		((move64 *)&ip->saddr)[0] = from[0];
		((move64 *)&ip->saddr)[1] = from[1] ^ (__u64)packet->hash << 32;
		address_copy(&ip->daddr, &member->address);
		if (inner >= 0)
			for (int i = 0; i < 8; i++)
				inner += ((move32 *)&ip->saddr)[i];
	} else {
		/* Words of the header, which are added up before they are stored. */
		move32 *word = data + l2;
		__u32 protocol = gue_port ? IPPROTO_UDP :
				 packet->ipv6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
		__be32 first = bpf_htonl(0x45000000 | traffic_class << 16 | length);
		__be32 second = bpf_htonl(WEIR_IPV4_DONT_FRAGMENT);
		__be32 third = bpf_htonl(WEIR_TUNNEL_TTL << 24 | protocol << 16);
		__be32 from = tuning->tunnel_source4 | (packet->hash & tuning->tunnel_mask4);
		__be32 to = member->address.word[3];

		udp = (void *)(word + 5);
		if ((void *)(udp + 1) > end)
			return XDP_DROP;
		word[0] = first;
		word[1] = second;
		word[2] = third |
			  (__u32)checksum_fold((__u64)first + second + third + from + to) << 16;
		word[3] = from;
		word[4] = to;
		length -= sizeof(struct iphdr);
		if (inner >= 0)
			inner += (__u64)from + to;
	}
	if (gue_port) {
		udp->source = bpf_htons(WEIR_GUE_PORTS | (packet->hash >> 16 & 0x3fff));
		udp->dest = gue_port;
		udp->len = bpf_htons(length);
		udp->check = 0;
		/* RFC 6935 and RFC 768 allow none where the packet inside has none either. */
		if (inner >= 0) {
			__u16 sum = checksum_fold(inner + bpf_htonl(IPPROTO_UDP) +
						  bpf_htonl(length) + udp->source + udp->dest +
						  udp->len);

			udp->check = sum ? sum : 0xffff;
		}
	}
	return action;
}

__noinline int tunnel_into4(struct xdp_md *context, const struct facts *packet,
			    const struct weir_member *member, __be16 gue_port, int action)
{
	return tunnel_into(context, packet, member, gue_port, action, 0);
}

__noinline int tunnel_into6(struct xdp_md *context, const struct facts *packet,
			    const struct weir_member *member, __be16 gue_port, int action)
{
	return tunnel_into(context, packet, member, gue_port, action, 1);
}

/*
 * Sends the packet, whose hop has been counted, through the tunnel. `gue_port`: 0 for IP in IP.
 * `action`: the way out, which is given back.
 */
static __always_inline int tunnel_send(struct xdp_md *context, const struct facts *packet,
				       const struct weir_member *member, __be16 gue_port,
				       int action)
{
	return address_is_ipv4(&member->address) ?
		       tunnel_into4(context, packet, member, gue_port, action) :
		       tunnel_into6(context, packet, member, gue_port, action);
}

#endif
