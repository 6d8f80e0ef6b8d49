/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Echo requests for service addresses, answered in place (RFC 792, RFC 4443 §4.2). ICMP errors,
 * which belong to the member whose flow they quote, will find their place here.
 *
 * Invariant: the answer goes back to where the frame came from and is as long as the request; a
 * request with a wrong checksum gets an answer with a wrong checksum.
 */
#ifndef WEIR_ICMP_H
#define WEIR_ICMP_H

#include "checksum.h"
#include "forward.h"

#define WEIR_ECHO_TTL 64
#define WEIR_ICMP_ECHO_REQUEST 8
#define WEIR_ICMP_ECHO_REPLY 0
#define WEIR_ICMP6_ECHO_REQUEST 128
#define WEIR_ICMP6_ECHO_REPLY 129

/* Common to both families (RFC 792, RFC 4443). */
struct icmp_echo {
	__u8 type;
	__u8 code;
	__u16 check;
	__be16 identifier;
	__be16 sequence;
};

static __always_inline int icmp_answer(struct packet *packet, void *end, const int ipv6)
{
	const __u8 request = ipv6 ? WEIR_ICMP6_ECHO_REQUEST : WEIR_ICMP_ECHO_REQUEST;
	const __u8 reply = ipv6 ? WEIR_ICMP6_ECHO_REPLY : WEIR_ICMP_ECHO_REPLY;
	struct icmp_echo *echo = packet->transport;
	struct weir_totals *total;
	__u8 mac[ETH_ALEN] __attribute__((aligned(4)));
	__u32 *flags;

	if ((void *)(echo + 1) > end || echo->type != request || echo->code)
		return count_pass();
	flags = bpf_map_lookup_elem(&addresses, &packet->flow.destination);
	if (!flags || !(*flags & WEIR_ADDRESS_ECHO))
		return count_pass();

	echo->type = reply;
	/* The type is the high byte of its word. */
	echo->check = checksum_apply(echo->check, checksum_replace16(0, bpf_htons(request << 8),
								     bpf_htons(reply << 8)));
	if (ipv6) {
		struct ipv6hdr *ip = packet->network;

		address_write(&ip->saddr, &packet->flow.destination, 1);
		address_write(&ip->daddr, &packet->flow.source, 1);
		ip->hop_limit = WEIR_ECHO_TTL;
	} else {
		struct iphdr *ip = packet->network;

		ip->saddr = packet->flow.destination.word[3];
		ip->daddr = packet->flow.source.word[3];
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

#endif
