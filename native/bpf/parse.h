/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * From a frame to a flow: Ethernet II, IEEE 802.1Q and 802.1ad tags, IPv4 (RFC 791), IPv6 with
 * extension headers (RFC 8200 §4), TCP (RFC 9293), UDP (RFC 768).
 *
 * Invariant: only PARSE_FLOW promises a whole transport header inside of the frame and lengths
 * that agree with each other; PARSE_MALFORMED and PARSE_FRAGMENT promise the addresses.
 * Checksums and TCP flags are looked at once the packet is known to be for a service (intact.h).
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
#define WEIR_IPV4_OFFSET 0x1fff
#define WEIR_IPV4_DONT_FRAGMENT 0x4000
#define WEIR_IPV6_OFFSET 0xfff8
#define WEIR_IPV6_FRAGMENT 0xfff9
#define WEIR_MAX_EXTENSIONS 6      /* extension headers that are looked behind … */
#define WEIR_MAX_EXTENSION_BYTES 512 /* … and how long they may be together */
#define WEIR_VLAN_ID 0x0fff
#define WEIR_TCP_MIN_WORDS 5
#define WEIR_TCP_FIN 0x01
#define WEIR_TCP_SYN 0x02
#define WEIR_TCP_RST 0x04
#define WEIR_TCP_ACK 0x10

enum parse_result {
	PARSE_FLOW,      /* TCP or UDP, whole */
	PARSE_ICMP,      /* ICMP or ICMPv6, unfragmented */
	PARSE_OTHER,     /* the kernel's */
	PARSE_MALFORMED, /* contradicts itself */
	PARSE_FRAGMENT,  /* a later part of a TCP or UDP packet */
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

/* A MAC address where it must be aligned, as on the stack. */
#define MAC_ROOM 8

/* IEEE 802.1Q §9.6. */
struct vlan_tag {
	__be16 control;
	__be16 type;
};

/*
 * What is known of a frame, without a pointer into it: a program's parts that the verifier looks
 * at one by one, once each (the functions that are not static), take this. Not cleared for each
 * frame. Both parsers set `flow` whole as soon as they know the addresses, and everything but
 * `now`, `hash`, `interface` and what follows `ipv6` before they return PARSE_FLOW.
 */
struct facts {
	struct weir_flow_key flow; /* first, for the alignment that move64 needs */
	__u64 now;       /* CLOCK_MONOTONIC_COARSE, once something needs it */
	__u32 bytes;     /* of the frame */
	__u32 interface; /* that it came in on */
	__u32 tcp_flags; /* 0 for UDP */
	__u32 hash;      /* of the flow, once something needs it */
	__u32 vlan;      /* both tags' ids, as weir_member.vlan; 0: untagged, or a priority alone */
	__u32 l2;        /* bytes before the IP header */
	__u32 length;    /* of the IP packet */
	__u32 header;    /* bytes of it before the transport header */
	__u32 fragment;  /* 1: its first fragment */
	__be32 identification; /* of a fragment */
	__u32 ipv6;
	union {
		__u32 unsummed;  /* for a tunnel: 1: UDP without a checksum over all of it */
		__u32 back_vlan; /* for nat: the frame's tags, as weir_flow.vlan */
	};
	__u32 quic;      /* server id of the connection id, with bit 16 set; 0: none */
	__u32 cookie;    /* WEIR_COOKIE_ASKED, and WEIR_COOKIE_FLOW where the scratch has the rest (cookie.h) */
	__u8 from_mac[MAC_ROOM]; /* of the frame, where a way back is kept */
	__u8 to_mac[MAC_ROOM];
};

/*
 * A frame with pointers into it, valid until its length changes. Each part of the program that is
 * verified by itself opens the frame anew: the checks cost less than the verifier's patience with
 * all that may have happened before.
 */
struct packet {
	struct facts *is;
	struct ethhdr *ethernet;
	void *end;
	void *network;   /* struct iphdr or ipv6hdr */
	void *transport; /* struct tcphdr, udphdr or icmphdr */
	__u16 *check;    /* the checksum in it */
};

/*
 * The bytes before a header, with a bound that the verifier sees: the compiler must not read them
 * again behind the check.
 */
static __always_inline __u32 bounded(__u32 bytes, __u32 most)
{
	asm volatile("" : "+r"(bytes));
	return bytes > most ? 0 : bytes;
}

#define WEIR_MAX_LINK_BYTES (ETH_HLEN + 2 * sizeof(struct vlan_tag))

/*
 * Finds the headers again that parsing found. 0 when that of IP is there, as it always is; where
 * the other one would begin, a later fragment may end.
 */
static __always_inline int packet_open_network(struct xdp_md *context, struct facts *facts,
					       struct packet *packet, const int ipv6)
{
	void *data = (void *)(long)context->data;
	const __u32 ip_bytes = ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);

	packet->is = facts;
	packet->ethernet = data;
	packet->end = (void *)(long)context->data_end;
	packet->network = data + bounded(facts->l2, WEIR_MAX_LINK_BYTES);
	packet->transport = packet->network +
			    bounded(facts->header, ipv6 ? 40 + WEIR_MAX_EXTENSION_BYTES : 60);
	return (void *)(packet->ethernet + 1) > packet->end ||
	       packet->network + ip_bytes > packet->end;
}

/* The same with the first 8 bytes behind the IP header. */
static __always_inline int packet_open(struct xdp_md *context, struct facts *facts,
				       struct packet *packet, const int ipv6)
{
	return packet_open_network(context, facts, packet, ipv6) ||
	       packet->transport + sizeof(struct udphdr) > packet->end;
}

/* The same for TCP and UDP, with the checksum. */
static __always_inline int packet_open_flow(struct xdp_md *context, struct facts *facts,
					    struct packet *packet, const int ipv6)
{
	__u32 at;

	if (packet_open(context, facts, packet, ipv6))
		return -1;
	/* TCP's checksum and all that is looked at before it, or UDP's, without a branch. */
	at = facts->flow.protocol == IPPROTO_TCP ? 16 : 6;
	at = bounded(at, 16);
	packet->check = packet->transport + at;
	return (void *)(packet->check + 1) > packet->end;
}

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
static __always_inline void flow_end(struct facts *packet, __u32 ports, __u8 protocol)
{
	*(move64 *)&packet->flow.source_port = ports | (__u64)protocol << 32;
}

/* What follows the address in the key of a service or of a source of replies. */
static __always_inline __u32 key_end(__be16 port, __u8 protocol)
{
	return port | (__u32)protocol << 16;
}

/* Ports and what lies behind them. `length` is what the IP header leaves for the transport. */
static __always_inline enum parse_result parse_transport(struct facts *packet, void *transport,
							 void *end, __u32 length)
{
	if (packet->flow.protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = transport;
		__u32 header;

		if ((void *)(tcp + 1) > end)
			return PARSE_MALFORMED;
		header = (((__u8 *)tcp)[12] >> 4) * 4;
		if (header < WEIR_TCP_MIN_WORDS * 4 || header > length)
			return PARSE_MALFORMED;
		packet->tcp_flags = ((__u8 *)tcp)[13];
	} else {
		struct udphdr *udp = transport;
		__u32 whole;

		if ((void *)(udp + 1) > end)
			return PARSE_MALFORMED;
		whole = bpf_ntohs(udp->len);
		/* The length counts the whole datagram, so a first fragment is shorter. */
		if (whole < sizeof(*udp) || (whole > length && !packet->fragment) ||
		    length < sizeof(*udp))
			return PARSE_MALFORMED;
		packet->tcp_flags = 0;
	}
	/* TCP and UDP have the ports in the same place. */
	flow_end(packet, *(move32 *)transport, packet->flow.protocol);
	return PARSE_FLOW;
}

static __always_inline enum parse_result parse_ipv4(struct facts *packet, void *network, void *end)
{
	struct iphdr *ip = network;
	__u32 header, total;

	if ((void *)(ip + 1) > end)
		return PARSE_OTHER;
	packet->ipv6 = 0;
	address_from_ipv4(&packet->flow.source, ip->saddr);
	address_from_ipv4(&packet->flow.destination, ip->daddr);
	flow_end(packet, 0, ip->protocol);
	header = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header < WEIR_IPV4_MIN_WORDS * 4 || total < header ||
	    total > end - network)
		return PARSE_MALFORMED;
	packet->header = header;
	packet->length = total;
	packet->fragment = ip->frag_off & bpf_htons(WEIR_IPV4_FRAGMENT);
	packet->identification = ip->id;
	if (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP) {
		if (ip->frag_off & bpf_htons(WEIR_IPV4_OFFSET))
			return PARSE_FRAGMENT;
		return parse_transport(packet, network + header, end, total - header);
	}
	if (ip->protocol == IPPROTO_ICMP && !packet->fragment)
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

#define WEIR_EXTENSIONS_BROKEN 0xffffffffU
#define WEIR_EXTENSIONS_LATER 0x80000000U /* stands in a later fragment */

/*
 * Looks behind extension headers, from `next` on. Returns the protocol behind them and, from bit
 * 8 on, their length; or that they are broken. Notes a fragment header in the packet.
 */
static __noinline __u32 ipv6_extensions(struct facts *packet, void *first, void *end, __u32 next)
{
	__u32 at = 0, later = 0;

	for (int i = 0; i < WEIR_MAX_EXTENSIONS; i++) {
		struct ipv6_fragment *header = first + at;
		__u32 bytes;

		if (next == IPPROTO_FRAGMENT)
			bytes = sizeof(*header);
		else if (next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING ||
			 next == IPPROTO_DSTOPTS)
			bytes = 0;
		else
			break;
		if ((void *)(header + 1) > end)
			return WEIR_EXTENSIONS_BROKEN;
		/* Hops are left to visit (RFC 8200 §4.4): this is not where it ends. */
		if (next == IPPROTO_ROUTING && header->offset & bpf_htons(0xff))
			break;
		if (bytes) {
			packet->fragment = header->offset & bpf_htons(WEIR_IPV6_FRAGMENT);
			packet->identification = header->identification;
			if (header->offset & bpf_htons(WEIR_IPV6_OFFSET))
				later = WEIR_EXTENSIONS_LATER;
		} else {
			bytes = (header->reserved + 1) * 8; /* the header's length stands here */
		}
		next = header->next;
		at += bytes;
		if (at > WEIR_MAX_EXTENSION_BYTES)
			return WEIR_EXTENSIONS_BROKEN;
		if (later)
			break;
	}
	return next | at << 8 | later;
}

static __always_inline enum parse_result parse_ipv6(struct facts *packet, void *network, void *end)
{
	struct ipv6hdr *ip = network;
	__u32 length, next, bytes = 0;

	if ((void *)(ip + 1) > end)
		return PARSE_OTHER;
	packet->ipv6 = 1;
	address_copy(&packet->flow.source, &ip->saddr);
	address_copy(&packet->flow.destination, &ip->daddr);
	next = ip->nexthdr;
	flow_end(packet, 0, next);
	/* Such addresses never stand on a wire, and would pass for IPv4 in the tables. */
	if (address_is_ipv4(&packet->flow.source) ||
	    address_is_ipv4(&packet->flow.destination))
		return PARSE_OTHER;
	length = bpf_ntohs(ip->payload_len);
	if (ip->version != 6 || length > end - (void *)(ip + 1))
		return PARSE_MALFORMED;
	packet->length = length + sizeof(*ip);
	packet->header = sizeof(*ip);
	packet->fragment = 0;
	if (next != IPPROTO_TCP && next != IPPROTO_UDP && next != IPPROTO_ICMPV6) {
		__u32 found = ipv6_extensions(packet, ip + 1, end, next);

		if (found == WEIR_EXTENSIONS_BROKEN)
			return PARSE_MALFORMED;
		bytes = bounded(found >> 8 & 0x7fffff, WEIR_MAX_EXTENSION_BYTES);
		if (bytes > length)
			return PARSE_MALFORMED;
		next = found & 0xff;
		flow_end(packet, 0, next);
		packet->header += bytes;
		/* What it names begins in the first fragment: options may stand before TCP there. */
		if (found & WEIR_EXTENSIONS_LATER)
			return next == IPPROTO_TCP || next == IPPROTO_UDP ||
					       next == IPPROTO_DSTOPTS ?
				       PARSE_FRAGMENT :
				       PARSE_OTHER;
	}
	if (next == IPPROTO_TCP || next == IPPROTO_UDP)
		return parse_transport(packet, (void *)(ip + 1) + bytes, end, length - bytes);
	if (next == IPPROTO_ICMPV6 && !packet->fragment)
		return PARSE_ICMP;
	return PARSE_OTHER;
}

#endif
