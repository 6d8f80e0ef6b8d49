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

struct packet {
	struct weir_flow_key flow;
	__u64 now;       /* CLOCK_MONOTONIC_COARSE, once something needs it */
	__u32 bytes;     /* of the frame */
	__u32 interface; /* that it came in on */
	__u32 tcp_flags; /* 0 for UDP */
	struct ethhdr *ethernet;
	void *network;   /* struct iphdr or ipv6hdr */
	void *transport; /* struct tcphdr, udphdr or icmphdr */
	__u16 *check;    /* the checksum in it: a pointer each verified on its own path */
};

/* 4 and 16 bytes into the one form that the tables have. */
static __always_inline void address_from_ipv4(struct weir_address *address, __be32 ipv4)
{
	address->word[0] = 0;
	address->word[1] = 0;
	address->word[2] = bpf_htonl(0xffff);
	address->word[3] = ipv4;
}

static __always_inline void address_from_ipv6(struct weir_address *address,
					      const struct in6_addr *ipv6)
{
	__builtin_memcpy(address, ipv6, sizeof(*address));
}

static __always_inline int address_is_ipv4(const struct weir_address *address)
{
	return address->word[2] == bpf_htonl(0xffff) && !address->word[0] && !address->word[1];
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
		packet->flow.source_port = tcp->source;
		packet->flow.destination_port = tcp->dest;
	} else {
		struct udphdr *udp = packet->transport;
		__u32 whole;

		if ((void *)(udp + 1) > end)
			return PARSE_MALFORMED;
		whole = bpf_ntohs(udp->len);
		if (whole < sizeof(*udp) || whole > length)
			return PARSE_MALFORMED;
		packet->check = &udp->check;
		packet->flow.source_port = udp->source;
		packet->flow.destination_port = udp->dest;
	}
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
	packet->flow.protocol = ip->protocol;
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
	address_from_ipv6(&packet->flow.source, &ip->saddr);
	address_from_ipv6(&packet->flow.destination, &ip->daddr);
	packet->flow.protocol = ip->nexthdr;
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
			packet->flow.protocol = fragment->next;
			return PARSE_FRAGMENT;
		}
	}
	return PARSE_OTHER;
}

#endif
