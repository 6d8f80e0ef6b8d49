/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * From a frame to a flow: Ethernet II, IPv4 (RFC 791), IPv6 (RFC 8200), TCP (RFC 9293), UDP
 * (RFC 768). VLAN tags and IPv6 extension headers other than a leading fragment header will find
 * their place here; today such packets are the kernel's.
 *
 * Invariant: only PARSE_FLOW promises a whole transport header inside of the frame and lengths
 * that agree with each other; PARSE_MALFORMED and PARSE_FRAGMENT promise the addresses.
 */
#ifndef WEIR_PARSE_H
#define WEIR_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "tables.h"

#define WEIR_IPV4_MIN_WORDS 5
#define WEIR_IPV4_FRAGMENT 0x3fff /* more-fragments flag and offset, RFC 791 §3.1 */
#define WEIR_TCP_MIN_WORDS 5
#define WEIR_TCP_FIN 0x01
#define WEIR_TCP_SYN 0x02
#define WEIR_TCP_RST 0x04
#define WEIR_TCP_ACK 0x10

enum parse_result {
	PARSE_FLOW,      /* TCP or UDP, whole */
	PARSE_ICMP,      /* ICMP or ICMPv6, whole, unfragmented, without options */
	PARSE_OTHER,     /* the kernel's */
	PARSE_MALFORMED, /* contradicts itself */
	PARSE_FRAGMENT,  /* part of a TCP or UDP packet */
};

/*
 * This many bytes in one move, whatever they are declared as. A packed or less aligned structure
 * would be moved in parts, and a key stored in parts makes the processor wait when hashing reads
 * it back in larger ones.
 */
typedef __u16 __attribute__((may_alias)) move16;
typedef __u32 __attribute__((may_alias)) move32;
typedef __u64 __attribute__((may_alias)) move64;

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "moves are put together low bytes first");

/*
 * Not cleared for each frame. Both parsers set `flow` whole as soon as they know the addresses,
 * and everything but `now` and `interface` before they return PARSE_FLOW.
 */
struct packet {
	struct weir_flow_key flow; /* first, for the alignment that move64 needs */
	__u64 now;       /* CLOCK_MONOTONIC_COARSE, once something needs it */
	__u32 bytes;     /* of the frame */
	__u32 interface; /* that it came in on */
	__u32 tcp_flags; /* 0 for UDP */
	struct ethhdr *ethernet;
	void *network;   /* struct iphdr or ipv6hdr */
	void *transport; /* struct tcphdr, udphdr or icmphdr */
	__u16 *check;    /* the checksum in it: a pointer each verified on its own path */
};

/* 4 bytes into the one form that the tables have; 16 are copied. */
static __always_inline void address_from_ipv4(struct weir_address *address, __be32 ipv4)
{
	move64 *half = (move64 *)address;

	half[0] = 0;
	half[1] = (__u64)ipv4 << 32 | bpf_htonl(0xffff);
}

static __always_inline void address_copy(void *to, const void *from)
{
	((move64 *)to)[0] = ((const move64 *)from)[0];
	((move64 *)to)[1] = ((const move64 *)from)[1];
}

static __always_inline int address_is_ipv4(const struct weir_address *address)
{
	const move64 *half = (const move64 *)address;

	return !half[0] && (__u32)half[1] == bpf_htonl(0xffff);
}

/* What follows the addresses in a flow's key: both ports as one word, the protocol, zeros. */
static __always_inline void flow_end(struct packet *packet, __u32 ports, __u8 protocol)
{
	*(move64 *)&packet->flow.source_port = ports | (__u64)protocol << 32;
}

/* What follows the address in the key of a service or of a source of replies. */
static __always_inline __u32 key_end(__be16 port, __u8 protocol)
{
	return port | (__u32)protocol << 16;
}

/* Ports and what lies behind them. `length` is what the IP header leaves for the transport. */
static __always_inline enum parse_result parse_transport(struct packet *packet, void *end,
							 __u32 length)
{
	if (packet->flow.protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = packet->transport;
		__u32 header;

		if ((void *)(tcp + 1) > end)
			return PARSE_MALFORMED;
		header = (((__u8 *)tcp)[12] >> 4) * 4;
		if (header < WEIR_TCP_MIN_WORDS * 4 || header > length)
			return PARSE_MALFORMED;
		packet->tcp_flags = ((__u8 *)tcp)[13];
		packet->check = &tcp->check;
	} else {
		struct udphdr *udp = packet->transport;
		__u32 whole;

		if ((void *)(udp + 1) > end)
			return PARSE_MALFORMED;
		whole = bpf_ntohs(udp->len);
		if (whole < sizeof(*udp) || whole > length)
			return PARSE_MALFORMED;
		packet->tcp_flags = 0;
		packet->check = &udp->check;
	}
	/* TCP and UDP have the ports in the same place. */
	flow_end(packet, *(move32 *)packet->transport, packet->flow.protocol);
	return PARSE_FLOW;
}

static __always_inline enum parse_result parse_ipv4(struct packet *packet, void *end)
{
	struct iphdr *ip = packet->network;
	__u32 header, total;

	if ((void *)(ip + 1) > end)
		return PARSE_OTHER;
	address_from_ipv4(&packet->flow.source, ip->saddr);
	address_from_ipv4(&packet->flow.destination, ip->daddr);
	flow_end(packet, 0, ip->protocol);
	header = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header < WEIR_IPV4_MIN_WORDS * 4 || total < header ||
	    total > end - (void *)ip)
		return PARSE_MALFORMED;
	packet->transport = (void *)ip + header;
	if (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP) {
		if (ip->frag_off & bpf_htons(WEIR_IPV4_FRAGMENT))
			return PARSE_FRAGMENT;
		return parse_transport(packet, end, total - header);
	}
	if (ip->protocol == IPPROTO_ICMP && header == sizeof(*ip) &&
	    !(ip->frag_off & bpf_htons(WEIR_IPV4_FRAGMENT)))
		return PARSE_ICMP;
	return PARSE_OTHER;
}

/* RFC 8200 §4.5. */
struct ipv6_fragment {
	__u8 next;
	__u8 reserved;
	__be16 offset;
	__be32 identification;
};

static __always_inline enum parse_result parse_ipv6(struct packet *packet, void *end)
{
	struct ipv6hdr *ip = packet->network;
	__u32 length;

	if ((void *)(ip + 1) > end)
		return PARSE_OTHER;
	address_copy(&packet->flow.source, &ip->saddr);
	address_copy(&packet->flow.destination, &ip->daddr);
	flow_end(packet, 0, ip->nexthdr);
	/* Such addresses never stand on a wire, and would pass for IPv4 in the tables. */
	if (address_is_ipv4(&packet->flow.source) ||
	    address_is_ipv4(&packet->flow.destination))
		return PARSE_OTHER;
	length = bpf_ntohs(ip->payload_len);
	if (ip->version != 6 || length > end - (void *)(ip + 1))
		return PARSE_MALFORMED;
	packet->transport = ip + 1;
	if (ip->nexthdr == IPPROTO_TCP || ip->nexthdr == IPPROTO_UDP)
		return parse_transport(packet, end, length);
	if (ip->nexthdr == IPPROTO_ICMPV6)
		return PARSE_ICMP;
	if (ip->nexthdr == IPPROTO_FRAGMENT) {
		struct ipv6_fragment *fragment = packet->transport;

		if ((void *)(fragment + 1) > end || length < sizeof(*fragment))
			return PARSE_MALFORMED;
		if (fragment->next == IPPROTO_TCP || fragment->next == IPPROTO_UDP) {
			flow_end(packet, 0, fragment->next);
			return PARSE_FRAGMENT;
		}
	}
	return PARSE_OTHER;
}

#endif
