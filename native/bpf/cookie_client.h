/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The client's side of a handshake by cookie (cookie.h): its SYN is answered, its cookie read, and
 * what brings a right one becomes the SYN to the member.
 *
 * Invariant: a SYN that is answered by a cookie takes no room in any table, and an ACK that brings
 * a cookie is believed by the kernel's check alone.
 */
#ifndef WEIR_COOKIE_CLIENT_H
#define WEIR_COOKIE_CLIENT_H

#include "cookie.h"
#include "errors.h"
#include "segment.h"

/* A SYN to the member is repeated when the client repeats what it sent, not before. */
#define WEIR_COOKIE_REPEAT_NS (WEIR_SECOND_NS / 10)
/* What a peer without the option takes (RFC 9293 §3.7.1). */
#define WEIR_SEGMENT_DEFAULT4 536
#define WEIR_SEGMENT_DEFAULT6 1220
/* The largest that a cookie is asked for: members are taken to be on links of 1500 bytes. */
#define WEIR_SEGMENT_MOST6 1440

/* What the kernel wants to see of a packet. The addresses are all that counts of the first. */
struct cookie_headers {
	union {
		struct iphdr ipv4;
		struct ipv6hdr ipv6;
	};
	struct segment_header segment;
};

static __always_inline void cookie_addresses(const struct facts *packet,
					     struct cookie_headers *headers)
{
	__builtin_memset(headers, 0, sizeof(*headers));
	if (packet->ipv6) {
		__builtin_memcpy(&headers->ipv6.saddr, &packet->flow.source, 16);
		__builtin_memcpy(&headers->ipv6.daddr, &packet->flow.destination, 16);
	} else {
		headers->ipv4.saddr = packet->flow.source.word[3];
		headers->ipv4.daddr = packet->flow.destination.word[3];
	}
}

/* The largest segment that the client's SYN allows and a cookie is asked for. */
static __always_inline __u32 cookie_most(struct xdp_md *context, const struct facts *packet,
					 const struct weir_service *service, __u32 bytes)
{
	__u32 at, start = packet->l2 + packet->header + sizeof(struct tcphdr);
	__u32 most = packet->ipv6 ? WEIR_SEGMENT_DEFAULT6 : WEIR_SEGMENT_DEFAULT4;
	__be16 said;

	at = segment_option(context, start, bytes - sizeof(struct tcphdr));
	if (at && !bpf_xdp_load_bytes(context, start + at + 1, &said, sizeof(said)))
		most = bpf_ntohs(said);
	if (packet->ipv6 && most > WEIR_SEGMENT_MOST6)
		most = WEIR_SEGMENT_MOST6;
	return service->mss && most > service->mss ? service->mss : most;
}

/* Answers a SYN. The verdict, or WEIR_AGAIN when this kernel makes no cookies. */
__noinline int cookie_answer(struct xdp_md *context, struct facts *packet,
			     const struct weir_service *service)
{
	struct cookie_headers headers;
	struct segment answer = {};
	struct tcphdr *tcp = &headers.segment.tcp;
	struct weir_cookies *state;
	__s64 cookie;
	__u32 most;

	if (!packet || !service)
		return XDP_DROP;
	cookie_addresses(packet, &headers);
	if (bpf_xdp_load_bytes(context, packet->l2 + packet->header, tcp, sizeof(*tcp)))
		return XDP_DROP;
	most = cookie_most(context, packet, service, (((__u8 *)tcp)[12] >> 4) * 4);
	((__u8 *)tcp)[12] = sizeof(headers.segment) / 4 << 4;
	headers.segment.kind = WEIR_TCP_OPTION_MSS;
	headers.segment.size = 4;
	headers.segment.most = bpf_htons(most);
	if (packet->ipv6)
		cookie = bpf_tcp_raw_gen_syncookie_ipv6(&headers.ipv6, tcp,
							sizeof(headers.segment));
	else
		cookie = bpf_tcp_raw_gen_syncookie_ipv4(&headers.ipv4, tcp,
							sizeof(headers.segment));
	if (cookie < 0)
		return WEIR_AGAIN;
	/* The cookie's own value is one of four, not above what it was asked for but for tiny ones. */
	if (most > ((__u64)cookie >> 32 & 0xffff))
		most = (__u64)cookie >> 32 & 0xffff;
	answer.sequence = cookie;
	answer.acknowledge = bpf_ntohl(tcp->seq) + 1;
	answer.flags = WEIR_TCP_SYN | WEIR_TCP_ACK;
	/* One segment: what comes before the member has answered has to be sent again. */
	answer.window = bpf_htons(most);
	answer.most = most;
	answer.back = 1;
	if (segment_write(context, packet, &answer))
		return XDP_DROP;
	state = cookies_of(service->id);
	if (state)
		state->sent++;
	return XDP_TX;
}

static __always_inline int cookie_right(struct cookie_headers *headers, __u32 ipv6)
{
	if (ipv6)
		return !bpf_tcp_raw_check_syncookie_ipv6(&headers->ipv6, &headers->segment.tcp);
	return !bpf_tcp_raw_check_syncookie_ipv4(&headers->ipv4, &headers->segment.tcp);
}

/*
 * The largest segment in a right cookie; 0 when it is wrong. The kernel says right or wrong only,
 * but the value is a number from 0 to 3 that is added to a hash: as much less than the cookie is
 * right as that number is. A borrow from the minute above it makes the value too small, never too
 * large.
 */
static __always_inline __u32 cookie_read(struct cookie_headers *headers, __u32 ipv6)
{
	struct tcphdr *tcp = &headers->segment.tcp;
	__u32 acknowledged = bpf_ntohl(tcp->ack_seq);

	if (!cookie_right(headers, ipv6))
		return 0;
	tcp->ack_seq = bpf_htonl(acknowledged - 2);
	if (cookie_right(headers, ipv6)) {
		tcp->ack_seq = bpf_htonl(acknowledged - 3);
		if (cookie_right(headers, ipv6))
			return ipv6 ? WEIR_SEGMENT_MOST6 : 1460;
		return ipv6 ? WEIR_SEGMENT_MOST6 : 1440;
	}
	tcp->ack_seq = bpf_htonl(acknowledged - 1);
	if (cookie_right(headers, ipv6))
		return ipv6 ? 1420 : 1300;
	return ipv6 ? WEIR_SEGMENT_DEFAULT6 : WEIR_SEGMENT_DEFAULT4;
}

/* The client's packet becomes the SYN that it sent before any of this, with no other option. */
static __always_inline int cookie_open(struct xdp_md *context, struct facts *packet, __u32 most)
{
	struct weir_scratch *work = scratch_get();
	struct segment opening = {};

	if (!work)
		return XDP_DROP;
	opening.sequence = work->isn;
	opening.flags = WEIR_TCP_SYN;
	opening.window = work->window;
	opening.most = most;
	return segment_write(context, packet, &opening) ? XDP_DROP : WEIR_AGAIN;
}

/* A packet that would begin a flow, or of one whose member has not answered yet. */
__noinline int cookie_client(struct xdp_md *context, struct facts *packet,
			     const struct weir_service *service)
{
	struct cookie_headers headers;
	struct tcphdr *tcp = &headers.segment.tcp;
	struct weir_scratch *work = scratch_get();
	struct weir_cookies *state;
	struct weir_flow *known;
	__u32 most;
	int active;

	if (!packet || !service || !work)
		return XDP_DROP;
	packet->cookie |= WEIR_COOKIE_ASKED;
	if (packet->fragment || !answerable(packet))
		return count_drop(&packet->flow, WEIR_DROP_COOKIE, service->id, 0);
	known = flow_find(&packet->flow);
	cookie_addresses(packet, &headers);
	if (bpf_xdp_load_bytes(context, packet->l2 + packet->header, tcp, sizeof(*tcp)))
		return XDP_DROP;
	if (known && known->closing != WEIR_CLOSED && known->flags & WEIR_FLOW_PENDING) {
		if (bpf_ntohl(tcp->seq) != known->isn + 1)
			return count_drop(&packet->flow, WEIR_DROP_COOKIE_EARLY, service->id,
					  known->member);
		/* It ends what it began: the member shall know. */
		if (packet->tcp_flags & WEIR_TCP_RST)
			return WEIR_AGAIN;
		if (!(packet->tcp_flags & WEIR_TCP_ACK) ||
		    bpf_ntohl(tcp->ack_seq) != known->delta + 1 ||
		    !flow_older(packet->now, known->seen_ns, WEIR_COOKIE_REPEAT_NS))
			return count_drop(&packet->flow, WEIR_DROP_COOKIE_EARLY, service->id,
					  known->member);
		known->seen_ns = packet->now;
		cookie_recall(packet, known);
		most = cookie_read(&headers, packet->ipv6);
		if (!most)
			most = packet->ipv6 ? WEIR_SEGMENT_DEFAULT6 : WEIR_SEGMENT_DEFAULT4;
		return cookie_open(context, packet, most);
	}
	if (packet_opens(packet)) {
		if (known) {
			known->isn = bpf_ntohl(tcp->seq);
			flow_flag(known, WEIR_FLOW_REOPENED);
		}
		return cookie_answer(context, packet, service);
	}
	state = cookies_of(service->id);
	if (!state)
		return WEIR_AGAIN;
	active = cookies_always(service) || packet->now < state->until_ns;
	most = 0;
	/*
	 * A cookie moves along with the client's number: the last words of a connection of before look
	 * right too. So in its place a cookie counts only after a SYN, and with that one's number.
	 */
	if ((packet->tcp_flags & (WEIR_TCP_SYN | WEIR_TCP_RST | WEIR_TCP_ACK)) == WEIR_TCP_ACK &&
	    (!known || (known->flags & WEIR_FLOW_REOPENED &&
			known->isn + 1 == bpf_ntohl(tcp->seq)))) {
		work->isn = bpf_ntohl(tcp->seq) - 1;
		work->delta = bpf_ntohl(tcp->ack_seq) - 1;
		work->window = tcp->window;
		most = cookie_read(&headers, packet->ipv6);
	}
	if (!most) {
		/* The last words of a flow that is over. */
		if (!active || known)
			return WEIR_AGAIN;
		state->rejected++;
		return count_drop(&packet->flow, WEIR_DROP_COOKIE, service->id, 0);
	}
	state->accepted++;
	state->confirmed++;
	packet->cookie |= WEIR_FLOW_PENDING;
	return cookie_open(context, packet, most);
}

#endif
