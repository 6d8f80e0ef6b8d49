/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * TCP segments without data that the fast path makes of the frame in hand (RFC 9293 §3.1).
 *
 * Invariant: the segment is between the ends of the frame that came, with its tags, and whole:
 * lengths and checksums are right and nothing of the frame is left behind it.
 */
#ifndef WEIR_SEGMENT_H
#define WEIR_SEGMENT_H

#include "checksum.h"
#include "link.h"
#include "parse.h"
#include "rewrite.h"

#define WEIR_SEGMENT_TTL 64

/* A TCP header with the one option that is ever sent. */
struct segment_header {
	struct tcphdr tcp;
	__u8 kind;
	__u8 size;
	__be16 most;
};

struct segment {
	__u32 sequence;
	__u32 acknowledge;
	__u32 flags;
	__be16 window;
	__u16 most; /* largest segment; 0: not said */
	__u32 back; /* 1: to where the frame came from */
};

/*
 * Writes the frame anew as this segment between the same ends. 0, or an error. The ends of the
 * packet's facts stay those of the frame that came.
 */
__noinline int segment_write(struct xdp_md *context, struct facts *packet,
			    const struct segment *what)
{
	__u32 ip_bytes, tcp_bytes, length, l2;
	__u8 mac[MAC_ROOM] __attribute__((aligned(8)));
	struct ethhdr *ethernet = (void *)(long)context->data;
	void *data, *end = (void *)(long)context->data_end;
	struct tcphdr *tcp;
	__u64 sum;

	if (!packet || !what || (void *)(ethernet + 1) > end)
		return -1;
	if (what->back) {
		mac_copy(mac, ethernet->h_dest);
		mac_copy(ethernet->h_dest, ethernet->h_source);
		mac_copy(ethernet->h_source, mac);
	}
	ip_bytes = packet->ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	tcp_bytes = what->most ? sizeof(struct segment_header) : sizeof(*tcp);
	length = packet->l2 + ip_bytes + tcp_bytes;
	if (bpf_xdp_adjust_tail(context, (int)length - (int)packet->bytes))
		return -1;
	packet->bytes = length;
	packet->length = ip_bytes + tcp_bytes;
	packet->header = ip_bytes;
	packet->fragment = 0;
	packet->tcp_flags = what->flags;
	data = (void *)(long)context->data;
	end = (void *)(long)context->data_end;
	l2 = bounded(packet->l2, WEIR_MAX_LINK_BYTES);
	tcp = data + l2 + ip_bytes;
	if ((void *)(tcp + 1) > end)
		return -1;
	tcp->source = what->back ? packet->flow.destination_port : packet->flow.source_port;
	tcp->dest = what->back ? packet->flow.source_port : packet->flow.destination_port;
	tcp->seq = bpf_htonl(what->sequence);
	tcp->ack_seq = bpf_htonl(what->acknowledge);
	((move16 *)tcp)[6] = bpf_htons(tcp_bytes / 4 << 12 | what->flags);
	tcp->window = what->window;
	tcp->check = 0;
	tcp->urg_ptr = 0;
	sum = (__u32)bpf_csum_diff(0, 0, (void *)tcp, sizeof(*tcp), 0);
	if (what->most) {
		struct segment_header *segment = (void *)tcp;

		if ((void *)(segment + 1) > end)
			return -1;
		segment->kind = WEIR_TCP_OPTION_MSS;
		segment->size = 4;
		segment->most = bpf_htons(what->most);
		sum += *(move32 *)&segment->kind;
	}
	sum += bpf_htonl(tcp_bytes) + (__u64)bpf_htonl(IPPROTO_TCP);
	if (packet->ipv6) {
		struct ipv6hdr *ip = data + l2;

		if ((void *)(ip + 1) > end)
			return -1;
		*(move32 *)ip = bpf_htonl(6U << 28);
		ip->payload_len = bpf_htons(tcp_bytes);
		ip->nexthdr = IPPROTO_TCP;
		ip->hop_limit = WEIR_SEGMENT_TTL;
		address_copy(&ip->saddr, what->back ? &packet->flow.destination : &packet->flow.source);
		address_copy(&ip->daddr, what->back ? &packet->flow.source : &packet->flow.destination);
		sum += checksum_address(&packet->flow.source) +
		       checksum_address(&packet->flow.destination);
	} else {
		struct iphdr *ip = data + l2;
		__be32 source = packet->flow.source.word[3];
		__be32 destination = packet->flow.destination.word[3];

		if ((void *)(ip + 1) > end)
			return -1;
		*(move16 *)ip = bpf_htons(0x4500);
		ip->tot_len = bpf_htons(ip_bytes + tcp_bytes);
		ip->id = 0;
		ip->frag_off = bpf_htons(WEIR_IPV4_DONT_FRAGMENT);
		ip->ttl = WEIR_SEGMENT_TTL;
		ip->protocol = IPPROTO_TCP;
		ip->check = 0;
		ip->saddr = what->back ? destination : source;
		ip->daddr = what->back ? source : destination;
		ip->check = ipv4_sum(ip);
		sum += (__u64)source + destination;
	}
	tcp->check = checksum_fold(sum);
	return 0;
}

#endif
