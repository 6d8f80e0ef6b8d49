/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Changing a packet's addresses, ports, hop count and largest segment, with every checksum that
 * covers them (RFC 1624). Forwarding counts as a hop: TTL or hop limit goes down by one
 * (RFC 1812 §5.3.1, RFC 8200 §3).
 *
 * Invariant: every field that a checksum covers is changed through checksum.h in the same
 * function, and nothing is written before the decision to send the packet has been made.
 */
#ifndef WEIR_REWRITE_H
#define WEIR_REWRITE_H

#include "checksum.h"
#include "parse.h"

#define WEIR_TTL_LEAST 2 /* the next hop must still get at least 1 */
#define WEIR_TCP_OPTION_END 0
#define WEIR_TCP_OPTION_NONE 1
#define WEIR_TCP_OPTION_MSS 2
#define WEIR_TCP_MAX_OPTIONS 40
#define WEIR_TCP_MAX_OPTION_BYTES 36 /* before the last one that can be 4 bytes long */

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

	if (packet->is->flow.protocol == IPPROTO_TCP) {
		sum = checksum_apply(sum, change);
	} else if (sum) {
		sum = checksum_apply(sum, change);
		if (!sum)
			sum = 0xffff;
	}
	*packet->check = sum;
}

/* The sum of what an address is replaced by. */
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

static __always_inline void *source_of(const struct packet *packet, const int ipv6)
{
	return ipv6 ? (void *)&((struct ipv6hdr *)packet->network)->saddr :
		      (void *)&((struct iphdr *)packet->network)->saddr;
}

static __always_inline void *destination_of(const struct packet *packet, const int ipv6)
{
	return ipv6 ? (void *)&((struct ipv6hdr *)packet->network)->daddr :
		      (void *)&((struct iphdr *)packet->network)->daddr;
}

/* The destination becomes this address and port. */
static __always_inline void nat_destination(struct packet *packet,
					    const struct weir_address *address, __be16 port,
					    const int ipv6)
{
	struct tcphdr *ports_of = packet->transport; /* UDP has them in the same place */
	__u64 change = address_change(&packet->is->flow.destination, address, ipv6);

	transport_sum(packet,
		      checksum_replace16(change, packet->is->flow.destination_port, port));
	ports_of->dest = port;
	address_write(destination_of(packet, ipv6), address, ipv6);
	packet_hop(packet, change, ipv6);
}

/* The source becomes this address and port. */
static __always_inline void nat_source(struct packet *packet, const struct weir_address *address,
				       __be16 port, const int ipv6)
{
	struct tcphdr *ports_of = packet->transport;
	__u64 change = address_change(&packet->is->flow.source, address, ipv6);

	transport_sum(packet, checksum_replace16(change, packet->is->flow.source_port, port));
	ports_of->source = port;
	address_write(source_of(packet, ipv6), address, ipv6);
	packet_hop(packet, change, ipv6);
}

struct endpoint {
	const struct weir_address *address;
	__be16 port;
};

/* Source and destination become these. */
static __always_inline void nat_both(struct packet *packet, const struct endpoint *source,
				     const struct endpoint *destination, const int ipv6)
{
	struct tcphdr *ports_of = packet->transport;
	__u64 change = address_change(&packet->is->flow.source, source->address, ipv6) +
		       address_change(&packet->is->flow.destination, destination->address, ipv6);
	__u64 ports_change = checksum_replace16(change, packet->is->flow.source_port, source->port);

	transport_sum(packet, checksum_replace16(ports_change, packet->is->flow.destination_port,
						 destination->port));
	ports_of->source = source->port;
	ports_of->dest = destination->port;
	address_write(source_of(packet, ipv6), source->address, ipv6);
	address_write(destination_of(packet, ipv6), destination->address, ipv6);
	packet_hop(packet, change, ipv6);
}

/* A walk over TCP options: one at a time, whose steps the verifier looks at once. */
struct option_walk {
	struct xdp_md *context;
	__u32 start; /* of the options in the frame */
	__u32 bytes;
	__u32 at;
	__u32 found; /* where the largest segment stands in the options, and 1; 0: not yet */
};

static long option_step(__u32 index, void *argument)
{
	struct option_walk *walk = argument;
	__u8 option[4];

	(void)index;
	if (walk->at + sizeof(option) > walk->bytes ||
	    bpf_xdp_load_bytes(walk->context, walk->start + walk->at, option, sizeof(option)))
		return 1;
	if (option[0] == WEIR_TCP_OPTION_MSS && option[1] == 4) {
		walk->found = walk->at + 1;
		return 1;
	}
	if (option[0] == WEIR_TCP_OPTION_END)
		return 1;
	if (option[0] == WEIR_TCP_OPTION_NONE) {
		walk->at++;
		return 0;
	}
	walk->at += option[1];
	return option[1] < 2;
}

/* Where the options say the largest segment, and 1; 0 where they do not. */
__noinline int segment_option(struct xdp_md *context, __u32 start, __u32 bytes)
{
	struct option_walk walk = { .context = context, .start = start, .bytes = bytes };

	bpf_loop(WEIR_TCP_MAX_OPTIONS, option_step, &walk, 0);
	return walk.found;
}

/*
 * Lowers the largest segment that a SYN or SYN-ACK announces (RFC 9293 §3.7.1). A packet without
 * the option means 536 or 1220 bytes (§3.7.1, RFC 8200 §8.3), which fit anyhow.
 */
static __always_inline void clamp_segment(struct xdp_md *context, struct packet *packet,
					  __u32 limit)
{
	__u8 *tcp = packet->transport, *option;
	__u32 header, at, size;
	__be16 from, to;

	if ((void *)(tcp + sizeof(struct tcphdr)) > packet->end)
		return;
	header = (tcp[12] >> 4) * 4;
	at = segment_option(context, packet->is->l2 + packet->is->header + sizeof(struct tcphdr),
			    header - sizeof(struct tcphdr));
	if (!at)
		return;
	at = bounded(at - 1, WEIR_TCP_MAX_OPTION_BYTES);
	option = tcp + sizeof(struct tcphdr) + at;
	if ((void *)(option + 4) > packet->end)
		return;
	size = (__u32)option[2] << 8 | option[3];
	if (size <= limit)
		return;
	from = bpf_htons(size);
	to = bpf_htons(limit);
	/* At an odd place the bytes stand in the other halves of their words. */
	if (at & 1) {
		from = bpf_htons((__u16)(size << 8 | size >> 8));
		to = bpf_htons((__u16)(limit << 8 | limit >> 8));
	}
	option[2] = limit >> 8;
	option[3] = limit;
	transport_sum(packet, checksum_replace16(0, from, to));
}

#endif
