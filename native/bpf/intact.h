/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What only packets of a service go through: the IPv4 header's checksum (RFC 791 §3.1, RFC 1071)
 * and TCP flags (RFC 9293 §3.10.7).
 *
 * Invariant: nothing here is asked of a packet that is passed to the kernel.
 */
#ifndef WEIR_INTACT_H
#define WEIR_INTACT_H

#include "parse.h"

/* The sum of an IPv4 header without options is right: its words and its checksum cancel out. */
static __always_inline int ipv4_sum_right(const struct iphdr *ip)
{
	const move32 *word = (const move32 *)ip;
	__u64 sum = (__u64)word[0] + word[1] + word[2] + word[3] + word[4];

	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* The same with options; whether the header is in the frame has been looked at. */
static __noinline int ipv4_sum_right_long(const struct packet *packet)
{
	void *end = packet->end;
	const struct iphdr *ip = packet->network;
	__u32 words;
	__u64 sum = 0;

	if ((void *)(ip + 1) > end)
		return 0;
	words = ip->ihl;
	for (__u32 i = 0; i < 15; i++) {
		const move32 *word = (const void *)ip + i * 4;

		if (i >= words)
			break;
		if ((void *)(word + 1) > end)
			return 0;
		sum += *word;
	}
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* The sum of any IPv4 header is right. */
static __always_inline int ipv4_header_right(const struct packet *packet)
{
	const struct iphdr *ip = packet->network;

	return ip->ihl == WEIR_IPV4_MIN_WORDS ? ipv4_sum_right(ip) : ipv4_sum_right_long(packet);
}

/* The same of a packet that is not open, where the stack is short. */
__noinline int ipv4_header_wrong(struct xdp_md *context, const struct facts *facts)
{
	struct packet packet = {};

	if (!facts)
		return 1;
	packet.end = (void *)(long)context->data_end;
	packet.network = (void *)(long)context->data + bounded(facts->l2, WEIR_MAX_LINK_BYTES);
	return !ipv4_sum_right_long(&packet);
}

/* Combinations that no TCP sends (RFC 9293 §3.10.7.4): both ends of a life at once, or nothing. */
static __always_inline int tcp_flags_wrong(__u32 flags)
{
	return ((flags & WEIR_TCP_SYN) && (flags & (WEIR_TCP_FIN | WEIR_TCP_RST))) ||
	       !(flags & (WEIR_TCP_SYN | WEIR_TCP_FIN | WEIR_TCP_RST | WEIR_TCP_ACK));
}

#endif
