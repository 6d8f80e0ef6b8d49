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
#include "errors.h"
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
/* A SYN to the member is repeated when the client repeats what it sent, not before. */
#define WEIR_COOKIE_REPEAT_NS (WEIR_SECOND_NS / 10)
/* What a peer without the option takes (RFC 9293 §3.7.1). */
#define WEIR_SEGMENT_DEFAULT4 536
#define WEIR_SEGMENT_DEFAULT6 1220
/* The largest that a cookie is asked for: members are taken to be on links of 1500 bytes. */
#define WEIR_SEGMENT_MOST6 1440
#define WEIR_COOKIE_TTL 64

/* A TCP header with the one option that a cookie can hold. */
struct cookie_segment {
	struct tcphdr tcp;
	__u8 kind;
	__u8 size;
	__be16 most;
};

/* What the kernel wants to see of a packet. The addresses are all that counts of the first. */
struct cookie_headers {
	union {
		struct iphdr ipv4;
		struct ipv6hdr ipv6;
	};
	struct cookie_segment segment;
};

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
	if (packet->asked)
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
	packet->proxy = known->flags & (WEIR_FLOW_PENDING | WEIR_FLOW_TRANSLATED);
	packet->delta = known->delta;
	packet->isn = known->isn;
	packet->window = known->window;
}

/* --- translation -------------------------------------------------------------------------- */

/* A client's acknowledgement becomes that of the member's numbers. */
static __always_inline void cookie_acknowledge(struct packet *packet)
{
	struct tcphdr *tcp = packet->transport;
	__be32 from, to;

	/* The header is in the frame since it was parsed; the verifier does not know. */
	if (!(packet->is->tcp_flags & WEIR_TCP_ACK) || (void *)(tcp + 1) > packet->end)
		return;
	from = tcp->ack_seq;
	to = bpf_htonl(bpf_ntohl(from) - packet->is->delta);
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

/* --- frames of our own -------------------------------------------------------------------- */

struct cookie_frame {
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
__noinline int cookie_write(struct xdp_md *context, struct facts *packet,
			    const struct cookie_frame *what)
{
	__u32 ip_bytes, tcp_bytes, length, l2;
	struct link_macs macs;
	struct ethhdr *ethernet = (void *)(long)context->data;
	void *data, *end = (void *)(long)context->data_end;
	struct tcphdr *tcp;
	__u64 sum;

	if (!packet || !what || (void *)(ethernet + 1) > end)
		return -1;
	mac_copy(macs.to, what->back ? ethernet->h_source : ethernet->h_dest);
	mac_copy(macs.from, what->back ? ethernet->h_dest : ethernet->h_source);
	ip_bytes = packet->ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	tcp_bytes = what->most ? sizeof(struct cookie_segment) : sizeof(*tcp);
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
	l2 = link_write(data, end, macs.to, macs.from, packet->vlan,
			packet->ipv6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP));
	tcp = data + l2 + ip_bytes;
	if (!l2 || (void *)(tcp + 1) > end)
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
		struct cookie_segment *segment = (void *)tcp;

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
		ip->hop_limit = WEIR_COOKIE_TTL;
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
		ip->ttl = WEIR_COOKIE_TTL;
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

/* --- the client's side -------------------------------------------------------------------- */

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
	struct cookie_frame answer = {};
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
	if (cookie_write(context, packet, &answer))
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
	struct cookie_frame opening = {};

	opening.sequence = packet->isn;
	opening.flags = WEIR_TCP_SYN;
	opening.window = packet->window;
	opening.most = most;
	return cookie_write(context, packet, &opening) ? XDP_DROP : WEIR_AGAIN;
}

/* A packet that would begin a flow, or of one whose member has not answered yet. */
__noinline int cookie_client(struct xdp_md *context, struct facts *packet,
			     const struct weir_service *service)
{
	struct cookie_headers headers;
	struct tcphdr *tcp = &headers.segment.tcp;
	struct weir_cookies *state;
	struct weir_flow *known;
	__u32 most;
	int active;

	if (!packet || !service)
		return XDP_DROP;
	packet->asked = 1;
	if (packet->fragment)
		return count_drop(&packet->flow, WEIR_DROP_COOKIE, service->id, 0);
	known = bpf_map_lookup_elem(&flows, &packet->flow);
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
			known->flags |= WEIR_FLOW_REOPENED;
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
		packet->isn = bpf_ntohl(tcp->seq) - 1;
		packet->delta = bpf_ntohl(tcp->ack_seq) - 1;
		packet->window = tcp->window;
		most = cookie_read(&headers, packet->ipv6);
	}
	if (!most) {
		packet->isn = packet->delta = packet->window = 0;
		/* The last words of a flow that is over. */
		if (!active || known)
			return WEIR_AGAIN;
		state->rejected++;
		return count_drop(&packet->flow, WEIR_DROP_COOKIE, service->id, 0);
	}
	state->accepted++;
	state->confirmed++;
	packet->proxy = WEIR_FLOW_PENDING;
	return cookie_open(context, packet, most);
}

/* --- the member's side -------------------------------------------------------------------- */

static __always_inline int packet_accepts(const struct facts *packet)
{
	return (packet->tcp_flags & (WEIR_TCP_SYN | WEIR_TCP_ACK)) ==
	       (WEIR_TCP_SYN | WEIR_TCP_ACK);
}

/* Whether this packet of a member, of a flow that began with a cookie, is one to look at here. */
static __always_inline int cookie_member_due(const struct facts *packet,
					     const struct weir_flow *reply)
{
	return !packet->asked && (reply->flags & WEIR_FLOW_PENDING || packet_accepts(packet));
}

/* The entry of the client's side. */
static __always_inline struct weir_flow *cookie_forward(const struct weir_flow *reply)
{
	struct weir_scratch *work = scratch_get();

	if (!work)
		return 0;
	address_copy(&work->key.source, &reply->client);
	address_copy(&work->key.destination, &reply->address);
	work->key.source_port = reply->client_port;
	work->key.destination_port = reply->port;
	work->key.protocol = IPPROTO_TCP;
	return bpf_map_lookup_elem(&flows, &work->key);
}

/* The numbers before the flag: another CPU reads the flag first. */
static __always_inline void cookie_settle(struct weir_flow *flow, __u32 delta)
{
	flow->delta = delta;
	asm volatile("" ::: "memory");
	flow->flags = (flow->flags & ~WEIR_FLOW_PENDING) | WEIR_FLOW_TRANSLATED;
}

/* The member answers our SYN, or says something else than that. */
__noinline int cookie_member(struct xdp_md *context, struct facts *packet)
{
	struct cookie_frame answer = {};
	struct weir_flow *reply, *forward;
	struct tcphdr tcp;
	__u32 cookie;

	if (!packet)
		return XDP_DROP;
	packet->asked = 1;
	reply = bpf_map_lookup_elem(&flows, &packet->flow);
	if (!reply || packet->fragment ||
	    bpf_xdp_load_bytes(context, packet->l2 + packet->header, &tcp, sizeof(tcp)))
		return XDP_DROP;
	forward = cookie_forward(reply);
	if (!forward || forward->direction != WEIR_FLOW_FORWARD)
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
		reply->flags |= WEIR_FLOW_ESTABLISHED;
		count_answer(reply->service, reply->member, took > 0 ? took : 0);
	}
	answer.sequence = reply->isn + 1;
	answer.acknowledge = bpf_ntohl(tcp.seq) + 1;
	answer.flags = WEIR_TCP_ACK;
	answer.window = reply->window;
	answer.back = 1;
	return cookie_write(context, packet, &answer) ? XDP_DROP : XDP_TX;
}

#endif
