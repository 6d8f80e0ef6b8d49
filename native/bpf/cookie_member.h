/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The member's side of a handshake by cookie (cookie.h): its answer to our SYN is acknowledged in
 * the client's name, and says by how much sequence numbers are translated from then on.
 *
 * Invariant: what a member says before that goes to no client, but for the reset by which it
 * refuses.
 */
#ifndef WEIR_COOKIE_MEMBER_H
#define WEIR_COOKIE_MEMBER_H

#include "cookie.h"
#include "errors.h"
#include "mirror.h"
#include "segment.h"

/* Whether this packet of a member, of a flow that began with a cookie, is one to look at here. */
static __always_inline int cookie_member_due(const struct facts *packet,
					     const struct weir_flow *reply)
{
	return !(packet->cookie & WEIR_COOKIE_ASKED) &&
	       (reply->flags & WEIR_FLOW_PENDING || packet_accepts(packet));
}

/*
 * The numbers before the flags: another CPU reads the flags first, and takes one that is still
 * pending for that alone. The client has proven itself by its cookie, the member by its answer.
 */
static __always_inline void cookie_settle(struct weir_flow *flow, __u32 delta)
{
	flow->delta = delta;
	flow_flag(flow, WEIR_FLOW_TRANSLATED | WEIR_FLOW_ESTABLISHED);
	flow_unflag(flow, WEIR_FLOW_PENDING);
}

/* The member answers our SYN, or says something else than that. */
__noinline int cookie_member(struct xdp_md *context, struct facts *packet)
{
	struct segment answer = {};
	struct weir_flow *reply, *forward;
	struct weir_scratch *work = scratch_get();
	struct tcphdr tcp;
	__u32 cookie;

	if (!packet)
		return XDP_DROP;
	packet->cookie |= WEIR_COOKIE_ASKED;
	reply = flow_find(&packet->flow);
	if (!reply || packet->fragment ||
	    bpf_xdp_load_bytes(context, packet->l2 + packet->header, &tcp, sizeof(tcp)))
		return count_drop(&packet->flow, WEIR_DROP_COOKIE, 0, 0);
	forward = flow_of_reply(reply, IPPROTO_TCP);
	if (!forward)
		return tcp_reset(context, packet);
	/* A packet of the client overtook the member's answer in writing the entry. */
	if (reply->flags & WEIR_FLOW_PENDING && forward->flags & WEIR_FLOW_TRANSLATED)
		cookie_settle(reply, forward->delta);
	if (!(reply->flags & WEIR_FLOW_PENDING) && !packet_accepts(packet))
		return WEIR_AGAIN;
	if (bpf_ntohl(tcp.ack_seq) != reply->isn + 1) {
		/* Of a connection before this one: the reset lets our SYN through next time. */
		if (packet->tcp_flags & WEIR_TCP_RST)
			return count_drop(&packet->flow, WEIR_DROP_NO_FLOW, reply->service,
					  reply->member);
		return tcp_reset(context, packet);
	}
	cookie = reply->delta;
	if (packet->tcp_flags & WEIR_TCP_RST) {
		/* The client shall find it right behind the cookie. */
		cookie_settle(forward, cookie + 1 - bpf_ntohl(tcp.seq));
		cookie_settle(reply, cookie + 1 - bpf_ntohl(tcp.seq));
		return WEIR_AGAIN;
	}
	if (!packet_accepts(packet) || reply->closing == WEIR_CLOSED)
		return tcp_reset(context, packet);
	count_reply(reply->service, reply->member, packet->bytes);
	if (reply->flags & WEIR_FLOW_PENDING) {
		__s64 took = bpf_ktime_get_ns() - reply->seen_ns;

		cookie_settle(forward, cookie - bpf_ntohl(tcp.seq));
		cookie_settle(reply, cookie - bpf_ntohl(tcp.seq));
		if (work)
			mirror_tell(&work->key, forward);
		count_answer(reply->service, reply->member, took > 0 ? took : 0);
	}
	answer.sequence = reply->isn + 1;
	answer.acknowledge = bpf_ntohl(tcp.seq) + 1;
	answer.flags = WEIR_TCP_ACK;
	answer.window = reply->window;
	answer.back = 1;
	return segment_write(context, packet, &answer) ? XDP_DROP : XDP_TX;
}

#endif
