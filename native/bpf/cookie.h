/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * SYN cookies for TCP services whose replies pass through the unit (RFC 4987 §3.6): while SYNs
 * flood a service, they are answered here, and only the ACK that brings the cookie back makes a
 * flow, by a SYN of ours to the member. The frame in hand becomes each of the answers. Cookies are
 * the kernel's own (bpf_tcp_raw_gen_syncookie_ipv4 and its sisters, Linux 6.0).
 *
 *     client ─ SYN ──────────▸ unit                          no state
 *            ◂─ SYN-ACK, cookie ─
 *            ─ ACK of the cookie ▸   ─ SYN, the client's number ▸ member     entries, pending
 *                                    ◂─ SYN-ACK, the member's number ─
 *                                    ─ ACK ▸                                 entries, translated
 *     from then on the member's sequence numbers grow by cookie - number towards the client, and
 *     the client's acknowledgements shrink by as much. Neither side has options beyond the
 *     largest segment: window scale, SACK and timestamps would have to fit into the cookie.
 *
 * When. A CPU counts, for each service and second, handshakes that began less those that clients
 * went on with. More than settings.half_open of them, and its SYNs get cookies, until for
 * WEIR_COOKIES_HOLD_NS less than half of that were left open. It decides by itself, because a flood
 * fills the flow table faster than the daemon looks; a CPU that sees no flood goes on as ever.
 *
 * Invariant: a SYN that is answered by a cookie takes no room in any table, and an ACK that brings
 * a cookie is believed by the kernel's check alone.
 */
#ifndef WEIR_COOKIE_H
#define WEIR_COOKIE_H

#include "checksum.h"
#include "count.h"
#include "parse.h"
#include "rewrite.h"
#include "track.h"

/*
 * In place of a verdict: cookie_client or cookie_member is to look at the packet, which the caller
 * of all sees to, because the stack is short; and the packet is to be looked at once more, as what
 * it is now.
 */
#define WEIR_ASK_COOKIE 0x100
#define WEIR_AGAIN 0x200
#define WEIR_COOKIES_HOLD_NS (10 * WEIR_SECOND_NS)

static __always_inline struct weir_cookies *cookies_of(__u32 service)
{
	return bpf_map_lookup_elem(&cookies, &service);
}

static __always_inline int cookies_always(const struct weir_service *service)
{
	return service->flags & WEIR_SERVICE_COOKIES_ALWAYS;
}

/* A SYN would begin a flow. Whether it gets a cookie instead. */
__noinline int cookie_wanted(const struct facts *packet, const struct weir_service *service)
{
	struct weir_cookies *state;
	struct weir_settings *tuning = tuning_get();
	int active;

	if (!packet || !service || !tuning)
		return 0;
	if (cookies_always(service))
		return 1;
	state = cookies_of(service->id);
	if (!state)
		return 0;
	if (packet->now - state->second_ns >= WEIR_SECOND_NS) {
		state->second_ns = packet->now;
		state->opened = 0;
		state->confirmed = 0;
	}
	state->opened++;
	active = packet->now < state->until_ns;
	if ((__s64)(state->opened - state->confirmed) >
	    (__s64)(active ? tuning->half_open / 2 : tuning->half_open)) {
		state->until_ns = packet->now + WEIR_COOKIES_HOLD_NS;
		active = 1;
	}
	return active;
}

/* Whether this packet of a service that tracks all flows is one to look at here. */
static __always_inline int cookie_due(const struct facts *packet,
				      const struct weir_service *service,
				      const struct weir_flow *known)
{
	if (packet->cookie & WEIR_COOKIE_ASKED)
		return 0;
	if (known && known->closing != WEIR_CLOSED)
		return known->flags & WEIR_FLOW_PENDING;
	if (!(service->flags & WEIR_SERVICE_COOKIES))
		return 0;
	return packet_opens(packet) ? cookie_wanted(packet, service) : 1;
}

/* What the entry says of its handshake, for whoever writes the entries anew. */
static __always_inline void cookie_recall(struct facts *packet, const struct weir_flow *known)
{
	struct weir_scratch *work = scratch_get();

	if (!work)
		return;
	packet->cookie |= known->flags & WEIR_COOKIE_FLOW;
	work->delta = known->delta;
	work->isn = known->isn;
	work->window = known->window;
}

/* --- translation -------------------------------------------------------------------------- */

/* A client's acknowledgement becomes that of the member's numbers. */
static __always_inline void cookie_acknowledge(struct packet *packet)
{
	struct weir_scratch *work = scratch_get();
	struct tcphdr *tcp = packet->transport;
	__be32 from, to;

	/* The header is in the frame since it was parsed; the verifier does not know. */
	if (!work || !(packet->is->tcp_flags & WEIR_TCP_ACK) || (void *)(tcp + 1) > packet->end)
		return;
	from = tcp->ack_seq;
	to = bpf_htonl(bpf_ntohl(from) - work->delta);
	transport_sum(packet, checksum_replace32(0, from, to));
	tcp->ack_seq = to;
}

/* A member's sequence number becomes the one that the client counts with. */
static __always_inline void cookie_sequence(struct packet *packet, __u32 delta)
{
	struct tcphdr *tcp = packet->transport;
	__be32 from, to;

	if ((void *)(tcp + 1) > packet->end)
		return;
	from = tcp->seq;
	to = bpf_htonl(bpf_ntohl(from) + delta);
	transport_sum(packet, checksum_replace32(0, from, to));
	tcp->seq = to;
}

#endif
