/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Entries of the flow table and of the table of sources: what makes one, what it is worth, and
 * the counts of active flows that go with it. How long an entry lasts is the sweep's business
 * (sweep.h), except that a UDP flow idle for WEIR_UDP_IDLE_NS begins anew with its next packet.
 *
 * Invariant: a flow with WEIR_FLOW_COUNTED is one of member_active and service_active; whoever
 * clears the flag takes it off, and nobody else does.
 */
#ifndef WEIR_TRACK_H
#define WEIR_TRACK_H

#include "count.h"
#include "find.h"
#include "parse.h"
#include "protect.h"

#define WEIR_FLOW_REFRESH_NS WEIR_SECOND_NS
#define WEIR_UDP_IDLE_NS (120 * WEIR_SECOND_NS)
/* The same in epochs of the sketch, 2^32 ns each. */
#define WEIR_RECENT_EPOCHS 28
/* 2 hours and 4 minutes, the least that RFC 5382 REQ-5 lets an established connection idle. */
#define WEIR_TCP_IDLE_NS (7440 * WEIR_SECOND_NS)

static __always_inline int rewrites_addresses(__u32 forwarding)
{
	return forwarding == WEIR_FORWARDING_NAT || forwarding == WEIR_FORWARDING_FULL_NAT;
}

/* Signed: another CPU's clock reading may be newer than ours by a moment. */
static __always_inline int flow_older(__u64 now, __u64 seen, __u64 limit)
{
	return (__s64)(now - seen) > (__s64)limit;
}

/* In facts.cookie: cookie.h has had its say. */
#define WEIR_COOKIE_ASKED 1
/* Flags that an entry of a flow which began with a cookie has. */
#define WEIR_COOKIE_FLOW (WEIR_FLOW_PENDING | WEIR_FLOW_TRANSLATED)

static __always_inline int packet_opens(const struct facts *packet)
{
	return (packet->tcp_flags & (WEIR_TCP_SYN | WEIR_TCP_ACK)) == WEIR_TCP_SYN;
}

static __always_inline int packet_accepts(const struct facts *packet)
{
	return (packet->tcp_flags & (WEIR_TCP_SYN | WEIR_TCP_ACK)) ==
	       (WEIR_TCP_SYN | WEIR_TCP_ACK);
}

/* The member in the row that the entry names, unless this packet has to be balanced again. */
static __always_inline struct weir_member *flow_member(const struct facts *packet,
						       const struct weir_flow *flow, __u32 row)
{
	struct weir_member *member = bpf_map_lookup_elem(&members, &row);

	if (!member || member->generation != flow->generation)
		return 0;
	if (member->state != WEIR_MEMBER_SERVING && member->state != WEIR_MEMBER_DRAINING)
		return flow->flags & WEIR_FLOW_PROBE ? member : 0;
	/*
	 * A new connection in the tuple of one that its client has ended is balanced like any other.
	 * While nobody ended the old one, a SYN may be forged: it must not move the flow.
	 */
	if (packet_opens(packet) && (flow->closing || member->state == WEIR_MEMBER_DRAINING))
		return flow->flags & WEIR_FLOW_PROBE ? member : 0;
	/* What the other unit told of a flow is older than the flow's last packet. */
	if (packet->flow.protocol == IPPROTO_UDP &&
	    flow_older(packet->now, flow->seen_ns, WEIR_UDP_IDLE_NS) &&
	    !(flow->mirror & WEIR_MIRROR_THEIRS))
		return 0;
	return member;
}

/* Whether the entry was a flow under way whose member can no longer have it. */
static __always_inline int flow_lost_member(const struct facts *packet,
					    const struct weir_flow *flow)
{
	if (packet_opens(packet))
		return 0;
	return packet->flow.protocol != IPPROTO_UDP ||
	       !flow_older(packet->now, flow->seen_ns, WEIR_UDP_IDLE_NS);
}

static __always_inline __u8 closing_after(const struct facts *packet, __u8 closing, __u8 who)
{
	if (packet_opens(packet))
		return 0;
	if (packet->tcp_flags & WEIR_TCP_RST)
		return WEIR_CLOSED;
	if (packet->tcp_flags & WEIR_TCP_FIN)
		return closing | who;
	return closing;
}

/*
 * A row that changed hands began to count from 0, and the flows of its former owner are none of
 * its; what a service counts goes on. No inline, for the stack's sake.
 */
static __noinline int active_change(const struct weir_flow *flow, __u32 by)
{
	__u32 at = flow->service, *active = bpf_map_lookup_elem(&service_active, &at);
	struct weir_member *member;

	if (active)
		__sync_fetch_and_add(active, by);
	at = flow->member;
	member = bpf_map_lookup_elem(&members, &at);
	active = bpf_map_lookup_elem(&member_active, &at);
	if (active && member && member->generation == flow->generation)
		__sync_fetch_and_add(active, by);
	return 0;
}

/*
 * The flags of an entry are changed by several CPUs: both directions of a connection may end at
 * the same time, and it must be taken off once. Processors change 32 bits at a time.
 */
#define WEIR_FLAGS_AT (__builtin_offsetof(struct weir_flow, flags) & 3)

static __always_inline __u32 *flags_word(struct weir_flow *flow)
{
	_Static_assert(WEIR_FLAGS_AT == 2, "the flags are bits 16 to 23 of their word");
	return (__u32 *)((__u8 *)&flow->flags - WEIR_FLAGS_AT);
}

static __always_inline void flow_flag(struct weir_flow *flow, __u32 flag)
{
	__sync_fetch_and_or(flags_word(flow), flag << 16);
}

/* Whether the flag was there. */
static __always_inline int flow_unflag(struct weir_flow *flow, __u32 flag)
{
	return (__sync_fetch_and_and(flags_word(flow), ~(flag << 16)) & flag << 16) != 0;
}

/* A flow of this client is no longer active: it ended, or its entry goes. */
static __always_inline void flow_uncount(struct weir_flow *flow,
					 const struct weir_address *source)
{
	if (!(flow->flags & WEIR_FLOW_COUNTED))
		return;
	if (!flow_unflag(flow, WEIR_FLOW_COUNTED))
		return;
	protect_flow_end(source, flow->service);
	active_change(flow, -1);
}

static __always_inline struct weir_scratch *scratch_get(void)
{
	__u32 row = 0;

	return bpf_map_lookup_elem(&scratch, &row);
}

/* The entry of the client's direction of a reply's flow; 0 when it is gone. Uses scratch.key. */
static __always_inline struct weir_flow *flow_of_reply(const struct weir_flow *reply,
						       __u8 protocol)
{
	struct weir_scratch *work = scratch_get();
	struct weir_flow *forward;

	if (!work)
		return 0;
	address_copy(&work->key.source, &reply->client);
	address_copy(&work->key.destination, &reply->address);
	work->key.source_port = reply->client_port;
	work->key.destination_port = reply->port;
	work->key.protocol = protocol;
	forward = bpf_map_lookup_elem(&flows, &work->key);
	return forward && forward->direction == WEIR_FLOW_FORWARD ? forward : 0;
}

/* Stores a flow of this packet's tuple and counts it. 0, or the reason to drop. */
static __always_inline int flow_put(const struct facts *packet, struct weir_flow *flow)
{
	struct weir_flow_key key __attribute__((aligned(8)));
	struct weir_flow *before;

	flow_key_copy(&key, &packet->flow);
	before = bpf_map_lookup_elem(&flows, &key);
	if (before && before->direction == WEIR_FLOW_FORWARD)
		flow_uncount(before, &packet->flow.source);
	if (!flow->closing)
		flow->flags |= WEIR_FLOW_COUNTED;
	if (bpf_map_update_elem(&flows, &key, flow, BPF_ANY))
		return WEIR_DROP_FLOW_TABLE;
	if (flow->flags & WEIR_FLOW_COUNTED)
		active_change(flow, 1);
	return 0;
}

/* The same for who has no room on the stack. */
static __noinline int flow_store(const struct facts *packet, struct weir_flow *flow)
{
	return flow_put(packet, flow);
}

/* What an entry of this packet's flow says of its handshake by a cookie. */
static __always_inline void flow_by_cookie(const struct facts *packet, struct weir_flow *flow)
{
	struct weir_scratch *work;

	if (!(packet->cookie & WEIR_COOKIE_FLOW))
		return;
	work = scratch_get();
	if (!work)
		return;
	flow->flags |= packet->cookie & WEIR_COOKIE_FLOW;
	flow->delta = work->delta;
	flow->isn = work->isn;
	flow->window = work->window;
}

/* What an entry of this packet's flow begins with, but for its member. */
static __always_inline void flow_fill(const struct facts *packet,
				      const struct weir_service *service, struct weir_flow *flow)
{
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->service = service->id;
	flow->direction = WEIR_FLOW_FORWARD;
	flow->forwarding = service->forwarding;
	flow->seen_ns = packet->now;
	flow->hash = packet->hash;
	flow->closing = closing_after(packet, 0, WEIR_CLOSING_CLIENT);
	flow_by_cookie(packet, flow);
}

/* An entry for a flow of a service that has none for most. 0, or why not. */
__noinline int flow_remember(const struct facts *packet,
				    const struct weir_service *service, __u32 row)
{
	struct weir_member *member = bpf_map_lookup_elem(&members, &row);
	struct weir_scratch *work = scratch_get();

	if (!member || !work || !packet || !service)
		return WEIR_DROP_NO_MEMBER;
	flow_fill(packet, service, &work->forward);
	work->forward.member = row;
	work->forward.generation = member->generation;
	work->forward.flags |= WEIR_FLOW_EXCEPTION;
	return flow_put(packet, &work->forward);
}

/* Counts a flow that begins, or moves away from a member, and tells of it. */
__noinline int flow_announce(const struct weir_flow_key *flow, __u32 service, __u32 row,
			     __u32 previous)
{
	struct weir_happening what = {
		.service = service,
		.member = row,
		.previous = previous,
		.kind = previous ? WEIR_EVENT_FLOW_MOVED : WEIR_EVENT_FLOW_NEW,
	};

	if (!flow)
		return 0;
	count_flow(service, row);
	return event_send(flow, &what);
}

/* --- persistence by source address ------------------------------------------------------- */

static __always_inline void source_key(const struct facts *packet,
				       const struct weir_service *service,
				       struct weir_persistence_key *key)
{
	key->service = service->id;
	for (int i = 0; i < 4; i++) {
		int bits = (int)service->prefix - 32 * i;
		__u32 mask = bits <= 0 ? 0 : bits >= 32 ? ~0U : ~0U << (32 - bits);

		key->address.word[i] = packet->flow.source.word[i] & bpf_htonl(mask);
	}
}

/* The member that the last flow of this source went to, while it serves; else 0. */
__noinline int source_member(const struct facts *packet, const struct weir_service *service)
{
	struct weir_persistence_key key = {};
	struct weir_persistence *source;
	struct weir_member *member;
	__u32 row;

	if (!packet || !service)
		return 0;
	source_key(packet, service, &key);
	source = bpf_map_lookup_elem(&persistence, &key);
	if (!source ||
	    flow_older(packet->now, source->seen_ns, service->persistence * WEIR_SECOND_NS))
		return 0;
	row = source->member;
	member = bpf_map_lookup_elem(&members, &row);
	if (!member || member->generation != source->generation ||
	    member->state != WEIR_MEMBER_SERVING)
		return 0;
	return row;
}

__noinline int source_remember(const struct facts *packet, const struct weir_service *service,
			       __u32 row, __u32 generation)
{
	struct weir_persistence_key key = {};
	struct weir_persistence source = { .member = row, .generation = generation };

	if (!packet || !service)
		return 0;
	source.seen_ns = packet->now;
	source_key(packet, service, &key);
	return bpf_map_update_elem(&persistence, &key, &source, BPF_ANY);
}

/* --- QUIC connection ids ------------------------------------------------------------------ */

/* The row of the member that the packet's connection id names, 0 when it names none. */
__noinline int quic_member(const struct facts *packet, const struct weir_service *service)
{
	struct weir_quic_key key = {};
	struct weir_member *member;
	__u32 *found, row;

	if (!packet || !service || !packet->quic)
		return 0;
	key.service = service->id;
	key.server = packet->quic;
	found = bpf_map_lookup_elem(&quic_servers, &key);
	if (!found)
		return 0;
	row = *found;
	member = bpf_map_lookup_elem(&members, &row);
	if (!member || (member->state != WEIR_MEMBER_SERVING &&
			member->state != WEIR_MEMBER_DRAINING))
		return 0;
	return row;
}

#endif
