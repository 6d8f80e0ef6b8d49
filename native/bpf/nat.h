/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The way back of nat and full nat: a second entry for each flow, under the tuple that the
 * member's replies have, says whose address to put back and where the client is.
 *
 * Full nat speaks to members from the unit's own addresses. A port is taken by inserting the
 * reply's tuple where there is none, which the kernel lets one CPU alone do; so one port serves
 * once for each member, and CPUs need no shares of their own. Two units of a pair take the even
 * and the odd ports.
 *
 * Invariant: a nat flow's reply entry is looked at when the flow begins, when TCP says that it
 * begins or ends, and otherwise only along with the refresh of seen_ns: once a second and flow.
 * The same visit follows a client whose MAC address, tags or interface changed.
 */
#ifndef WEIR_NAT_H
#define WEIR_NAT_H

#include "count.h"
#include "lookup.h"
#include "parse.h"
#include "track.h"

#define WEIR_E2BIG 7 /* errno of a full table */
#define WEIR_NAT_TRIES 64
#define WEIR_NAT_FIRST_PORT 1024
/* Ports of one unit of a pair, on one address: every second one from the first on. */
#define WEIR_NAT_PORTS ((65536 - WEIR_NAT_FIRST_PORT) / 2)
/*
 * WEIR_NAT_PORTS is 2^9 * 3^2 * 7: a multiple of 42 and one more is coprime to it, so that the tries
 * of a flow meet all ports; and flows do not follow each other, for their strides differ.
 */
#define WEIR_NAT_STRIDE(hash) (((hash) % (WEIR_NAT_PORTS / 42)) * 42 + 1)

static __always_inline int mac_differs(const __u8 *one, const __u8 *other)
{
	return *(const move32 *)one != *(const move32 *)other ||
	       *(const move16 *)(one + 4) != *(const move16 *)(other + 4);
}

/* Whether another flow still needs this reply entry. */
static __always_inline int reply_live(const struct facts *packet, const struct weir_flow *entry)
{
	if (packet->flow.protocol == IPPROTO_UDP)
		return !flow_older(packet->now, entry->seen_ns, WEIR_UDP_IDLE_NS);
	return entry->closing != WEIR_CLOSED &&
	       !flow_older(packet->now, entry->seen_ns, WEIR_TCP_IDLE_NS);
}

/* Whether the entry says all that this packet does of its client and member. */
static __always_inline int reply_current(const struct facts *packet,
					 const struct weir_flow *entry, const struct weir_flow *want)
{
	return entry->member == want->member && entry->generation == want->generation &&
	       entry->delta == want->delta &&
	       !((entry->flags ^ want->flags) & WEIR_COOKIE_FLOW) &&
	       entry->service == want->service && entry->interface == packet->interface &&
	       *(const move32 *)entry->vlan == packet->back_vlan &&
	       !mac_differs(entry->client_mac, packet->from_mac) &&
	       !mac_differs(entry->unit_mac, packet->to_mac);
}

static __always_inline void reply_fill(const struct facts *packet, struct weir_flow *reply,
				       __u32 member, __u32 generation, __u32 service)
{
	__builtin_memset(reply, 0, sizeof(*reply));
	reply->member = member;
	reply->generation = generation;
	reply->service = service;
	reply->port = packet->flow.destination_port;
	reply->direction = WEIR_FLOW_REPLY;
	reply->closing = closing_after(packet, 0, WEIR_CLOSING_CLIENT);
	address_copy(&reply->address, &packet->flow.destination);
	reply->interface = packet->interface;
	/* A handshake is timed, for which the coarse clock is too coarse. */
	reply->seen_ns = packet_opens(packet) ? bpf_ktime_get_ns() : packet->now;
	address_copy(&reply->client, &packet->flow.source);
	reply->client_port = packet->flow.source_port;
	*(move32 *)reply->vlan = packet->back_vlan;
	__builtin_memcpy(reply->client_mac, packet->from_mac, ETH_ALEN);
	__builtin_memcpy(reply->unit_mac, packet->to_mac, ETH_ALEN);
	flow_by_cookie(packet, reply);
}

/* A packet of the client refreshes an entry that is right. */
static __always_inline void reply_refresh(const struct facts *packet, struct weir_flow *entry)
{
	entry->closing = closing_after(packet, entry->closing, WEIR_CLOSING_CLIENT);
	entry->seen_ns = packet_opens(packet) ? bpf_ktime_get_ns() : packet->now;
}

/*
 * nat: makes or refreshes the entry by which the member's replies find back to the client. Leaves
 * its key in the scratch. 0, or the reason to drop the packet.
 */
__noinline int reply_keep(const struct facts *packet, const struct weir_service *service,
				 const struct weir_member *member, __u32 row)
{
	struct weir_scratch *work = scratch_get();
	struct weir_flow *entry, *fresh;

	if (!work || !packet || !service || !member)
		return WEIR_DROP_FLOW_TABLE;
	fresh = &work->reply;
	address_copy(&work->key.source, &member->address);
	address_copy(&work->key.destination, &packet->flow.source);
	work->key.source_port = member->port ? member->port : packet->flow.destination_port;
	work->key.destination_port = packet->flow.source_port;
	work->key.protocol = packet->flow.protocol;
	reply_fill(packet, fresh, row, member->generation, service->id);
	fresh->forwarding = WEIR_FORWARDING_NAT;
	entry = bpf_map_lookup_elem(&flows, &work->key);
	if (entry && entry->direction == WEIR_FLOW_ANSWER)
		return 0;
	if (entry && entry->direction == WEIR_FLOW_REPLY) {
		int differs = entry->port != fresh->port ||
			      address_differs(&entry->address, &fresh->address);

		if (differs && reply_live(packet, entry))
			return WEIR_DROP_FLOW_CONFLICT;
		if (!differs && reply_current(packet, entry, fresh)) {
			reply_refresh(packet, entry);
			return 0;
		}
		if (!differs)
			fresh->closing = closing_after(packet, entry->closing, WEIR_CLOSING_CLIENT);
	}
	return bpf_map_update_elem(&flows, &work->key, fresh, BPF_ANY) ? WEIR_DROP_FLOW_TABLE : 0;
}

static __always_inline void nat_count(__u32 address, __u32 by)
{
	__u32 *used = bpf_map_lookup_elem(&nat_ports, &address);

	if (used)
		__sync_fetch_and_add(used, by);
}

/* The tuple of a full nat flow's replies. */
static __always_inline void nat_key(struct weir_flow_key *key, const struct facts *packet,
				    const struct weir_member *member, const struct weir_flow *flow)
{
	address_copy(&key->source, &member->address);
	address_copy(&key->destination, &flow->address);
	key->source_port = member->port ? member->port : packet->flow.destination_port;
	key->destination_port = flow->port;
	key->protocol = packet->flow.protocol;
}

/*
 * Full nat: takes a port for the flow that begins in the scratch. 0, or the reason to drop the packet.
 */
__noinline int nat_begin(const struct facts *packet, const struct weir_service *service,
			 const struct weir_member *member)
{
	struct weir_settings *tuning = tuning_get();
	struct weir_scratch *work = scratch_get();
	__u32 first, count, at, port_at, stride, full = 0;

	if (!tuning || !work || !packet || !service || !member)
		return WEIR_DROP_NAT_PORTS;
	first = packet->ipv6 ? WEIR_MAX_NAT_ADDRESSES : 0;
	count = packet->ipv6 ? tuning->nat_addresses6 : tuning->nat_addresses4;
	if (!count || count > WEIR_MAX_NAT_ADDRESSES)
		return WEIR_DROP_NAT_PORTS;
	reply_fill(packet, &work->reply, work->forward.member, work->forward.generation,
		   service->id);
	work->reply.forwarding = WEIR_FORWARDING_FULL_NAT;
	/* Not the hash alone: a forged flood would know which ports are taken. */
	at = packet->hash ^ bpf_get_prandom_u32();
	port_at = (at >> 8) % WEIR_NAT_PORTS;
	stride = WEIR_NAT_STRIDE(packet->hash);
	for (int i = 0; i < WEIR_NAT_TRIES; i++) {
		__u32 row = first + at % count;
		__u32 port = WEIR_NAT_FIRST_PORT + 2 * port_at + (tuning->nat_half & 1);
		struct weir_nat_address *address = bpf_map_lookup_elem(&nat_addresses, &row);
		struct weir_flow *other;
		int refused;

		if (!address)
			return WEIR_DROP_NAT_PORTS;
		at++;
		port_at += stride;
		if (port_at >= WEIR_NAT_PORTS)
			port_at -= WEIR_NAT_PORTS;
		address_copy(&work->forward.address, &address->address);
		work->forward.port = bpf_htons(port);
		work->forward.nat = row;
		work->reply.nat = row;
		nat_key(&work->key, packet, member, &work->forward);
		other = bpf_map_lookup_elem(&flows, &work->key);
		if (other && reply_live(packet, other))
			continue;
		/* The sweep has not come by yet. Who removes it may put something in its place. */
		if (other && !bpf_map_delete_elem(&flows, &work->key))
			nat_count(row, -1);
		/* Before 6.4 only the lower half of what comes back is set: an int, never a long. */
		refused = bpf_map_update_elem(&flows, &work->key, &work->reply, BPF_NOEXIST);
		if (!refused) {
			nat_count(row, 1);
			return 0;
		}
		full = refused == -WEIR_E2BIG;
		if (full)
			break;
	}
	return full ? WEIR_DROP_FLOW_TABLE : WEIR_DROP_NAT_PORTS;
}

/* Full nat: the same for a flow under way, whose port is its own. 0, or the reason to drop. */
__noinline int nat_keep(const struct facts *packet, const struct weir_service *service,
			       const struct weir_member *member, struct weir_flow *flow)
{
	struct weir_scratch *work = scratch_get();
	struct weir_flow *entry, *fresh;

	if (!work || !packet || !service || !member || !flow)
		return WEIR_DROP_FLOW_TABLE;
	fresh = &work->reply;
	nat_key(&work->key, packet, member, flow);
	reply_fill(packet, fresh, flow->member, flow->generation, service->id);
	fresh->forwarding = WEIR_FORWARDING_FULL_NAT;
	fresh->nat = flow->nat;
	entry = bpf_map_lookup_elem(&flows, &work->key);
	if (entry && entry->direction == WEIR_FLOW_ANSWER)
		return 0;
	if (entry) {
		/* Somebody else's by now: this flow was taken for ended. */
		if (entry->client_port != fresh->client_port ||
		    address_differs(&entry->client, &fresh->client))
			return WEIR_DROP_FLOW_CONFLICT;
		if (reply_current(packet, entry, fresh)) {
			reply_refresh(packet, entry);
			return 0;
		}
		fresh->closing = closing_after(packet, entry->closing, WEIR_CLOSING_CLIENT);
		return bpf_map_update_elem(&flows, &work->key, fresh, BPF_EXIST) ?
			       WEIR_DROP_FLOW_TABLE :
			       0;
	}
	if (bpf_map_update_elem(&flows, &work->key, fresh, BPF_NOEXIST))
		return WEIR_DROP_FLOW_TABLE;
	nat_count(flow->nat, 1);
	return 0;
}

/*
 * What a member's packet says of its connection, told to the forward entry: that it ends, and no
 * longer counts as active.
 */
__noinline int reply_tell(const struct facts *packet, const struct weir_flow *reply)
{
	struct weir_flow *forward;

	if (!packet || !reply)
		return 0;
	forward = flow_of_reply(reply, packet->flow.protocol);
	if (!forward)
		return 0;
	forward->closing = closing_after(packet, forward->closing, WEIR_CLOSING_MEMBER);
	flow_uncount(forward, &reply->client);
	return 1;
}

#endif
