/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The packet that an ICMP error quotes (RFC 792, RFC 4443 §3): finding its flow, and making of it
 * what its sender sent (RFC 5508 §4.2).
 *
 * Invariant: every field that a checksum covers is changed along with those that the quotation
 * still has; what it does not have is not made up. Padding behind the error is no part of it.
 */
#ifndef WEIR_QUOTED_H
#define WEIR_QUOTED_H

#include "checksum.h"
#include "parse.h"
#include "rewrite.h"

#define WEIR_TCP_CHECK_AT 16
#define WEIR_UDP_CHECK_AT 6

/* Common to both families and to all that is looked at here (RFC 792, RFC 4443). */
struct icmp_header {
	__u8 type;
	__u8 code;
	__u16 check;
	__be32 rest;
};

/* What an error quotes: the packet's IP header and the first 8 bytes behind it. */
struct quoted {
	void *network;
	void *transport;
};

/* Whether so many bytes from there on belong to the packet, behind which there may be padding. */
static __always_inline int packet_holds(const struct packet *packet, const void *from,
					__u32 bytes)
{
	return from + bytes - packet->network <= packet->is->length;
}

/* Finds the quoted packet and makes its tuple packet->is->flow. 0 when it is there and of a flow. */
static __always_inline int icmp_quoted(struct packet *packet, struct icmp_header *icmp,
				       struct quoted *quoted, const int ipv6)
{
	void *end = packet->end;
	__u32 next;

	quoted->network = icmp + 1;
	if (ipv6) {
		struct ipv6hdr *ip = quoted->network;

		if ((void *)(ip + 1) > end || ip->version != 6)
			return -1;
		address_copy(&packet->is->flow.source, &ip->saddr);
		address_copy(&packet->is->flow.destination, &ip->daddr);
		next = ip->nexthdr;
		/* Too long a packet may well have been a fragment. */
		if (next != IPPROTO_TCP && next != IPPROTO_UDP) {
			next = ipv6_extensions(packet->is, ip + 1, end, next);
			if (next & WEIR_EXTENSIONS_LATER)
				return -1;
		}
		quoted->transport = (void *)(ip + 1) + bounded(next >> 8, WEIR_MAX_EXTENSION_BYTES);
		packet->is->flow.protocol = next;
	} else {
		struct iphdr *ip = quoted->network;

		if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < WEIR_IPV4_MIN_WORDS ||
		    ip->frag_off & bpf_htons(WEIR_IPV4_OFFSET))
			return -1;
		quoted->transport = (void *)ip + ip->ihl * 4;
		address_from_ipv4(&packet->is->flow.source, ip->saddr);
		address_from_ipv4(&packet->is->flow.destination, ip->daddr);
		packet->is->flow.protocol = ip->protocol;
	}
	if (quoted->transport + 8 > end || !packet_holds(packet, quoted->transport, 8) ||
	    (packet->is->flow.protocol != IPPROTO_TCP && packet->is->flow.protocol != IPPROTO_UDP))
		return -1;
	flow_end(packet->is, *(move32 *)quoted->transport, packet->is->flow.protocol);
	packet->is->tcp_flags = packet->is->flow.protocol == IPPROTO_TCP ? WEIR_TCP_ACK : 0;
	packet->is->fragment = 0;
	packet->is->quic = 0;
	return 0;
}

/* The other end of a packet becomes its source. */
static __always_inline void flow_turn(struct weir_flow_key *flow)
{
	struct weir_address address = flow->source;
	__be16 port = flow->source_port;

	flow->source = flow->destination;
	flow->destination = address;
	flow->source_port = flow->destination_port;
	flow->destination_port = port;
}

/* The sum of what the IPv6 address that stands there is replaced by. */
static __always_inline __u64 change_at(const void *at, const struct weir_address *to)
{
	__u64 change = 0;

	for (int i = 0; i < 4; i++)
		change = checksum_replace32(change, ((const move32 *)at)[i], to->word[i]);
	/* Else all words of all addresses are kept on the stack, which is short. */
	asm volatile("" : "+r"(change) : : "memory");
	return change;
}

/* Whether the packet's source is this address. */
static __always_inline int source_is(const struct packet *packet,
				     const struct weir_address *address, const int ipv6)
{
	const move32 *at = source_of(packet, ipv6);

	if (!ipv6)
		return at[0] == address->word[3];
	return at[0] == address->word[0] && at[1] == address->word[1] &&
	       at[2] == address->word[2] && at[3] == address->word[3];
}

/* Both ends of the quoted packet, as its sender had them. */
struct ends {
	const struct weir_address *source;
	const struct weir_address *destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 ahead; /* how far its sequence number is ahead of its sender's (cookie.h) */
};

/*
 * Writes both ends into what the error quotes. Returns what that changes in the sum that the
 * error's own checksum covers.
 */
static __always_inline __u64 quoted_rewrite(struct packet *packet, const struct quoted *quoted,
					    const struct ends *to, const int ipv6)
{
	__u16 *ports = quoted->transport;
	__u64 addresses, both_ports, change = 0;
	__u16 *check = 0;

	if (ipv6) {
		struct ipv6hdr *ip = quoted->network;

		addresses = change_at(&ip->saddr, to->source) +
			    change_at(&ip->daddr, to->destination);
		address_copy(&ip->saddr, to->source);
		address_copy(&ip->daddr, to->destination);
		change = addresses;
	} else {
		struct iphdr *ip = quoted->network;

		addresses = checksum_replace32(0, ip->saddr, to->source->word[3]);
		addresses = checksum_replace32(addresses, ip->daddr, to->destination->word[3]);
		/* The header's own checksum makes up for them: what it covers stays the same. */
		ip->check = checksum_apply(ip->check, addresses);
		ip->saddr = to->source->word[3];
		ip->daddr = to->destination->word[3];
	}
	both_ports = checksum_replace16(0, ports[0], to->source_port);
	both_ports = checksum_replace16(both_ports, ports[1], to->destination_port);
	ports[0] = to->source_port;
	ports[1] = to->destination_port;
	/* A host believes an error only about a number that it has sent (RFC 5927 §4). */
	if (to->ahead && quoted->transport + sizeof(struct udphdr) <= packet->end) {
		__be32 *sequence = (__be32 *)(ports + 2);
		__be32 sent = bpf_htonl(bpf_ntohl(*sequence) - to->ahead);

		both_ports = checksum_replace32(both_ports, *sequence, sent);
		*sequence = sent;
	}
	change += both_ports;
	if (packet->is->flow.protocol == IPPROTO_UDP)
		check = quoted->transport + WEIR_UDP_CHECK_AT;
	else if (packet_holds(packet, quoted->transport, WEIR_TCP_CHECK_AT + 2))
		check = quoted->transport + WEIR_TCP_CHECK_AT;
	if (check && (void *)(check + 1) <= packet->end &&
	    (packet->is->flow.protocol == IPPROTO_TCP || *check)) {
		__u16 sum = checksum_apply(*check, addresses + both_ports);

		if (packet->is->flow.protocol == IPPROTO_UDP && !sum)
			sum = 0xffff;
		change = checksum_replace16(change, *check, sum);
		*check = sum;
	}
	return change;
}

#endif
