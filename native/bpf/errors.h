/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What the fast path says itself: a packet too long for its way, a hop count used up, a TCP
 * connection that nobody has any more (RFC 792, RFC 1191, RFC 4443 §3.2 and §3.3, RFC 9293
 * §3.5.2). The frame that asked for it becomes the answer.
 *
 * Invariant: never more than settings.errors_per_second a CPU, never to a packet that is an error
 * itself, and never longer than what it answers plus the two headers.
 */
#ifndef WEIR_ERRORS_H
#define WEIR_ERRORS_H

#include "checksum.h"
#include "link.h"
#include "rewrite.h"
#include "segment.h"

#define WEIR_ERROR_TTL 64
/*
 * Bytes of the packet that an error quotes, the most of these that it has. The kernel's verifier
 * wants to know the length that is summed, so there are few.
 */
#define WEIR_QUOTE_LONG 512
#define WEIR_QUOTE_SHORT 128
#define WEIR_QUOTE_OPTIONS 68 /* the longest IPv4 header and 8 bytes */
#define WEIR_QUOTE_LEAST(ipv6) ((ipv6) ? 48 : 28) /* the IP header and 8 bytes */
#define WEIR_ICMP_UNREACHABLE 3
#define WEIR_ICMP_FRAGMENTATION_NEEDED 4
#define WEIR_ICMP_TIME_EXCEEDED 11
#define WEIR_ICMP6_TOO_BIG 2
#define WEIR_ICMP6_TIME_EXCEEDED 3

struct icmp_error {
	__u8 type;
	__u8 code;
	__u16 check;
	__be16 unused;
	__be16 mtu;
};

/*
 * Whether the source is that of one host somewhere else. Nothing is said to other ones (RFC 1122
 * §3.2.2 and §4.2.3.10, RFC 4443 §2.4 e).
 */
static __always_inline int answerable(const struct facts *packet)
{
	const struct weir_address *source = &packet->flow.source;
	__u32 first = bpf_ntohl(source->word[packet->ipv6 ? 0 : 3]) >> 24;

	if (!packet->ipv6)
		return first != 0 && first != 127 && first < 224;
	return first != 0xff && (source->word[0] || source->word[1] || source->word[2] ||
				 bpf_ntohl(source->word[3]) > 1);
}

/* The sum of so many bytes of the frame; 0 when they are not there. */
static __always_inline __u64 bytes_sum(void *from, void *end, const __u32 bytes)
{
	return from + bytes > end ? 0 : (__u32)bpf_csum_diff(0, 0, from, bytes, 0);
}

/*
 * Turns the frame into an ICMP error about itself: `mtu` bytes fit, or 0: time exceeded. XDP_TX,
 * or XDP_DROP when it cannot be.
 */
__noinline int icmp_error(struct xdp_md *context, const struct facts *packet, __u32 mtu)
{
	__u32 ip_bytes, headers, quote;
	struct link_header link;
	struct icmp_error *icmp;
	struct weir_totals *total;
	void *data, *end;
	__u32 l2, length;
	__u64 sum;

	if (!packet)
		return XDP_DROP;
	ip_bytes = packet->ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	headers = ip_bytes + sizeof(struct icmp_error);
	quote = WEIR_QUOTE_LEAST(packet->ipv6);
	if (packet->length < quote || !answerable(packet) ||
	    link_take(&link, (void *)(long)context->data, (void *)(long)context->data_end) ||
	    !error_allowed())
		return XDP_DROP;
	if (packet->length >= WEIR_QUOTE_LONG)
		quote = WEIR_QUOTE_LONG;
	else if (packet->length >= WEIR_QUOTE_SHORT)
		quote = WEIR_QUOTE_SHORT;
	else if (packet->length >= WEIR_QUOTE_OPTIONS)
		quote = WEIR_QUOTE_OPTIONS;
	if (bpf_xdp_adjust_head(context, -(int)headers))
		return XDP_DROP;
	length = packet->l2 + headers + quote;
	if (bpf_xdp_adjust_tail(context, (int)length - (int)(packet->bytes + headers)))
		return XDP_DROP;
	data = (void *)(long)context->data;
	end = (void *)(long)context->data_end;
	if (link_answer(&link, data, end))
		return XDP_DROP;
	l2 = bounded(packet->l2, WEIR_MAX_LINK_BYTES);
	icmp = data + l2 + ip_bytes;
	if ((void *)(icmp + 1) > end)
		return XDP_DROP;
	icmp->code = 0;
	icmp->check = 0;
	icmp->unused = 0;
	icmp->mtu = bpf_htons(mtu);
	if (packet->ipv6)
		icmp->type = mtu ? WEIR_ICMP6_TOO_BIG : WEIR_ICMP6_TIME_EXCEEDED;
	else
		icmp->type = mtu ? WEIR_ICMP_UNREACHABLE : WEIR_ICMP_TIME_EXCEEDED;
	if (mtu && !packet->ipv6)
		icmp->code = WEIR_ICMP_FRAGMENTATION_NEEDED;
	if (quote == WEIR_QUOTE_LONG)
		sum = bytes_sum(icmp + 1, end, WEIR_QUOTE_LONG);
	else if (quote == WEIR_QUOTE_SHORT)
		sum = bytes_sum(icmp + 1, end, WEIR_QUOTE_SHORT);
	else if (quote == WEIR_QUOTE_OPTIONS)
		sum = bytes_sum(icmp + 1, end, WEIR_QUOTE_OPTIONS);
	else if (packet->ipv6)
		sum = bytes_sum(icmp + 1, end, WEIR_QUOTE_LEAST(1));
	else
		sum = bytes_sum(icmp + 1, end, WEIR_QUOTE_LEAST(0));
	sum += (__u64)((move32 *)icmp)[0] + ((move32 *)icmp)[1];
	if (packet->ipv6) {
		struct ipv6hdr *ip = data + l2;

		if ((void *)(ip + 1) > end)
			return XDP_DROP;
		*(move32 *)ip = bpf_htonl(6U << 28);
		ip->payload_len = bpf_htons(sizeof(*icmp) + quote);
		ip->nexthdr = IPPROTO_ICMPV6;
		ip->hop_limit = WEIR_ERROR_TTL;
		address_copy(&ip->saddr, &packet->flow.destination);
		address_copy(&ip->daddr, &packet->flow.source);
		sum += checksum_address(&packet->flow.source) +
		       checksum_address(&packet->flow.destination) +
		       bpf_htonl(sizeof(*icmp) + quote) + bpf_htonl(IPPROTO_ICMPV6);
	} else {
		struct iphdr *ip = data + l2;

		if ((void *)(ip + 1) > end)
			return XDP_DROP;
		*(move16 *)ip = bpf_htons(0x4500);
		ip->tot_len = bpf_htons(headers + quote);
		ip->id = 0;
		ip->frag_off = bpf_htons(WEIR_IPV4_DONT_FRAGMENT);
		ip->ttl = WEIR_ERROR_TTL;
		ip->protocol = IPPROTO_ICMP;
		ip->check = 0;
		ip->saddr = packet->flow.destination.word[3];
		ip->daddr = packet->flow.source.word[3];
		ip->check = ipv4_sum(ip);
	}
	icmp->check = checksum_fold(sum);
	total = count_totals();
	if (total)
		total->errors_sent++;
	return XDP_TX;
}

/* A hop count that this unit would use up: counted as a drop, and said to the sender. */
static __always_inline int ttl_exceeded(struct xdp_md *context, const struct facts *packet,
					__u32 service, __u32 member)
{
	int action = count_drop(&packet->flow, WEIR_DROP_TTL_EXCEEDED, service, member);

	if (packet->fragment)
		return action;
	return icmp_error(context, packet, 0);
}

/* A packet longer than its way, of which `mtu` bytes would fit. */
static __always_inline int too_big(struct xdp_md *context, const struct packet *packet,
				   __u32 service, __u32 member, __u32 mtu)
{
	int action = count_drop(&packet->is->flow, WEIR_DROP_TOO_BIG, service, member);

	if (!packet->is->ipv6 && !(((struct iphdr *)packet->network)->frag_off &
			       bpf_htons(WEIR_IPV4_DONT_FRAGMENT)))
		return action;
	return icmp_error(context, packet->is, mtu);
}

/* Turns a TCP segment into the reset that answers it (RFC 9293 §3.10.7.1). */
__noinline int tcp_reset(struct xdp_md *context, struct facts *packet)
{
	struct segment reset = { .flags = WEIR_TCP_RST, .back = 1 };
	struct weir_totals *total;
	struct tcphdr tcp;

	/* Options and extension headers do not go back; nothing is said to a reset or a fragment. */
	if (!packet)
		return XDP_DROP;
	if (packet->tcp_flags & WEIR_TCP_RST || packet->fragment ||
	    packet->header != (packet->ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) ||
	    !answerable(packet) || !error_allowed() ||
	    bpf_xdp_load_bytes(context, packet->l2 + packet->header, &tcp, sizeof(tcp)))
		return XDP_DROP;
	if (packet->tcp_flags & WEIR_TCP_ACK) {
		reset.sequence = bpf_ntohl(tcp.ack_seq);
	} else {
		reset.flags |= WEIR_TCP_ACK;
		reset.acknowledge = bpf_ntohl(tcp.seq) + packet->length - packet->header -
				    (((__u8 *)&tcp)[12] >> 4) * 4 +
				    !!(packet->tcp_flags & WEIR_TCP_SYN) +
				    !!(packet->tcp_flags & WEIR_TCP_FIN);
	}
	if (segment_write(context, packet, &reset))
		return XDP_DROP;
	total = count_totals();
	if (total)
		total->errors_sent++;
	return XDP_TX;
}

#endif
