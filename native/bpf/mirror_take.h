/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What the other unit tells (mirror.h) becomes entries of this one's tables. The daemon has checked
 * the form of the records and put in what only this unit knows: the member's row, its interface.
 *
 * Invariant: an entry of a flow that this unit saw a later packet of is not touched; and nothing of
 * a record makes an entry that the program would not have made itself, from a packet.
 */
#ifndef WEIR_MIRROR_TAKE_H
#define WEIR_MIRROR_TAKE_H

#include "mirror.h"

/* Packets refresh an entry once a second; and a record was under way. */
#define WEIR_MIRROR_SLACK_NS (2 * WEIR_SECOND_NS)

static __always_inline struct weir_service *take_service(const struct weir_mirrored *record)
{
	struct weir_service_key name __attribute__((aligned(8))) = {};

	address_copy(&name.address, &record->flow.destination);
	name.port = record->flow.destination_port;
	name.protocol = record->flow.protocol;
	return bpf_map_lookup_elem(&services, &name);
}

/* The member that a record names, in the row that the daemon found. */
static __always_inline struct weir_member *take_member(const struct weir_mirrored *record)
{
	__u32 row = record->member;
	struct weir_member *member = bpf_map_lookup_elem(&members, &row);

	if (!row || !member || member->state == WEIR_MEMBER_FREE ||
	    member->identity != record->identity)
		return 0;
	return member;
}

/* Both entries of the flow, in the work area. */
static __always_inline void take_fill(struct weir_mirror_work *work,
				      const struct weir_mirrored *record,
				      const struct weir_service *service,
				      const struct weir_member *member, __u64 seen)
{
	struct weir_flow *forward = &work->forward, *reply = &work->reply;
	int full = record->forwarding == WEIR_FORWARDING_FULL_NAT;

	flow_key_copy(&work->forward_key, &record->flow);
	__builtin_memset(forward, 0, sizeof(*forward));
	forward->member = record->member;
	forward->generation = member->generation;
	forward->service = service->id;
	forward->direction = WEIR_FLOW_FORWARD;
	forward->closing = record->closing & WEIR_CLOSED;
	forward->forwarding = record->forwarding;
	forward->seen_ns = seen;
	forward->hash = record->hash;
	forward->flags = record->flags & WEIR_FLOW_TRANSLATED;
	if (!(service->flags & WEIR_SERVICE_TRACK))
		forward->flags |= WEIR_FLOW_EXCEPTION;
	forward->mirror = WEIR_MIRROR_THEIRS | (record->pass & WEIR_MIRROR_NOTED);
	forward->delta = record->delta;
	forward->isn = record->isn;
	if (full) {
		address_copy(&forward->address, &record->address);
		forward->port = record->port;
		forward->nat = record->nat;
	}
	__builtin_memset(&work->reply_key, 0, sizeof(work->reply_key));
	address_copy(&work->reply_key.source, &member->address);
	address_copy(&work->reply_key.destination,
		     full ? &record->address : &record->flow.source);
	work->reply_key.source_port = member->port ? member->port : record->flow.destination_port;
	work->reply_key.destination_port = full ? record->port : record->flow.source_port;
	work->reply_key.protocol = record->flow.protocol;
	__builtin_memset(reply, 0, sizeof(*reply));
	reply->member = record->member;
	reply->generation = member->generation;
	reply->service = service->id;
	reply->port = record->flow.destination_port;
	reply->direction = WEIR_FLOW_REPLY;
	reply->closing = record->closing & WEIR_CLOSED;
	address_copy(&reply->address, &record->flow.destination);
	reply->interface = record->interface;
	reply->seen_ns = seen;
	address_copy(&reply->client, &record->flow.source);
	reply->client_port = record->flow.source_port;
	*(move32 *)reply->vlan = *(const move32 *)record->vlan;
	__builtin_memcpy(reply->client_mac, record->client_mac, ETH_ALEN);
	__builtin_memcpy(reply->unit_mac, record->unit_mac, ETH_ALEN);
	reply->forwarding = record->forwarding;
	reply->flags = WEIR_FLOW_ESTABLISHED | (record->flags & WEIR_FLOW_TRANSLATED);
	reply->nat = forward->nat;
	reply->delta = record->delta;
	reply->isn = record->isn;
}

/* Whether an entry is of the same flow at the same member in the same way. */
static __always_inline int take_same(const struct weir_flow *entry, const struct weir_flow *want)
{
	return entry->member == want->member && entry->generation == want->generation &&
	       entry->service == want->service && entry->forwarding == want->forwarding &&
	       entry->port == want->port && !address_differs(&entry->address, &want->address);
}

static __always_inline void take_remove(struct weir_mirror_work *work, struct weir_flow *known)
{
	struct weir_flow_key tuple __attribute__((aligned(8))) = {};
	struct weir_flow *other = flow_other(&work->forward_key, known, &tuple);

	if (other)
		entry_remove(&tuple, other);
	entry_remove(&work->forward_key, known);
}

/* The entry for the replies: 0, or why there can be none. */
static __always_inline __u32 take_reply(struct weir_mirror_work *work)
{
	struct weir_flow *entry = bpf_map_lookup_elem(&flows, &work->reply_key);
	int refused;

	if (entry) {
		if (entry->direction != WEIR_FLOW_REPLY ||
		    entry->client_port != work->reply.client_port ||
		    entry->port != work->reply.port ||
		    address_differs(&entry->client, &work->reply.client) ||
		    address_differs(&entry->address, &work->reply.address))
			return WEIR_MIRRORED_CONFLICT;
		/* What is left of the same flow. */
		entry_remove(&work->reply_key, entry);
	}
	refused = bpf_map_update_elem(&flows, &work->reply_key, &work->reply, BPF_NOEXIST);
	if (refused)
		return refused == -WEIR_E2BIG ? WEIR_MIRRORED_FULL : WEIR_MIRRORED_CONFLICT;
	if (work->reply.forwarding == WEIR_FORWARDING_FULL_NAT)
		nat_count(work->reply.nat, 1);
	return 0;
}

static __always_inline void take_source(const struct weir_mirrored *record,
					const struct weir_service *service,
					const struct weir_member *member, __u64 now, __u64 seen)
{
	struct weir_persistence_key key __attribute__((aligned(8))) = {};
	struct weir_persistence source = {}, *known;

	key.service = service->id;
	for (int i = 0; i < 4; i++) {
		int bits = (int)service->prefix - 32 * i;
		__u32 mask = bits <= 0 ? 0 : bits >= 32 ? ~0U : ~0U << (32 - bits);

		key.address.word[i] = record->flow.source.word[i] & bpf_htonl(mask);
	}
	known = bpf_map_lookup_elem(&persistence, &key);
	if (known && !flow_older(seen, known->seen_ns,
				 known->mirror & WEIR_MIRROR_THEIRS ? 0 : WEIR_MIRROR_SLACK_NS))
		return;
	if (flow_older(now, seen, service->persistence * WEIR_SECOND_NS))
		return;
	source.member = record->member;
	source.generation = member->generation;
	source.seen_ns = seen;
	source.mirror = WEIR_MIRROR_THEIRS | (record->pass & WEIR_MIRROR_NOTED);
	bpf_map_update_elem(&persistence, &key, &source, BPF_ANY);
}

/* A record about a flow that is there. */
static __noinline __u32 take_flow(const struct weir_mirrored *record, __u64 now, __u32 full)
{
	__u64 seen = now - (__u64)record->age_ms * 1000000;
	struct weir_service *service = take_service(record);
	struct weir_member *member = take_member(record);
	struct weir_mirror_work *work;
	struct weir_flow *known;
	__u32 row = 0, reason;

	work = bpf_map_lookup_elem(&mirror_work, &row);
	if (!service || !work || service->forwarding != record->forwarding)
		return WEIR_MIRRORED_SERVICE;
	if (!member)
		return WEIR_MIRRORED_MEMBER;
	if (rewrites_addresses(record->forwarding) &&
	    address_is_ipv4(&member->address) != address_is_ipv4(&record->flow.source))
		return WEIR_MIRRORED_MEMBER;
	take_fill(work, record, service, member, seen);
	known = bpf_map_lookup_elem(&flows, &work->forward_key);
	if (known) {
		if (known->direction != WEIR_FLOW_FORWARD || known->flags & WEIR_FLOW_PROBE)
			return WEIR_MIRRORED_CONFLICT;
		if (!(known->mirror & WEIR_MIRROR_THEIRS) && known->closing != WEIR_CLOSED &&
		    !flow_older(seen, known->seen_ns, WEIR_MIRROR_SLACK_NS))
			return WEIR_MIRRORED_OWN;
	}
	if (full && !known)
		return WEIR_MIRRORED_FULL;
	if (service->flags & WEIR_SERVICE_PERSIST)
		take_source(record, service, member, now, seen);
	if (known && known->mirror & WEIR_MIRROR_THEIRS && take_same(known, &work->forward)) {
		known->mirror = work->forward.mirror;
		known->closing = work->forward.closing;
		if (flow_older(seen, known->seen_ns, 0))
			known->seen_ns = seen;
		if (!rewrites_addresses(record->forwarding))
			return WEIR_MIRRORED_REFRESHED;
		reason = take_reply(work);
		return reason ? reason : WEIR_MIRRORED_REFRESHED;
	}
	if (known)
		take_remove(work, known);
	if (rewrites_addresses(record->forwarding)) {
		reason = take_reply(work);
		if (reason)
			return reason;
	}
	if (!bpf_map_update_elem(&flows, &work->forward_key, &work->forward, BPF_NOEXIST))
		return WEIR_MIRRORED_STORED;
	if (rewrites_addresses(record->forwarding) &&
	    !bpf_map_delete_elem(&flows, &work->reply_key) &&
	    record->forwarding == WEIR_FORWARDING_FULL_NAT)
		nat_count(work->reply.nat, -1);
	return WEIR_MIRRORED_FULL;
}

/* A flow that was told of is over. */
static __noinline __u32 take_gone(const struct weir_mirrored *record)
{
	struct weir_mirror_work *work;
	struct weir_flow *known;
	__u32 row = 0;

	work = bpf_map_lookup_elem(&mirror_work, &row);
	if (!work)
		return WEIR_MIRRORED_MALFORMED;
	flow_key_copy(&work->forward_key, &record->flow);
	known = bpf_map_lookup_elem(&flows, &work->forward_key);
	if (known && known->direction == WEIR_FLOW_FORWARD &&
	    known->mirror & WEIR_MIRROR_THEIRS)
		take_remove(work, known);
	return WEIR_MIRRORED_REMOVED;
}

static __always_inline __u32 take(const struct weir_mirrored *record, __u64 now, __u32 full)
{
	struct weir_service *service;
	struct weir_member *member;

	switch (record->kind) {
	case WEIR_MIRROR_FLOW:
		return take_flow(record, now, full);
	case WEIR_MIRROR_GONE:
		return take_gone(record);
	case WEIR_MIRROR_SOURCE:
		service = take_service(record);
		if (!service || !(service->flags & WEIR_SERVICE_PERSIST))
			return WEIR_MIRRORED_SERVICE;
		member = take_member(record);
		if (!member)
			return WEIR_MIRRORED_MEMBER;
		take_source(record, service, member, now,
			    now - (__u64)record->age_ms * 1000000);
		return WEIR_MIRRORED_STORED;
	default:
		return WEIR_MIRRORED_MALFORMED;
	}
}

static long take_record(__u32 index, void *context)
{
	struct weir_mirror_take *request = context;
	struct weir_mirrored *record = bpf_map_lookup_elem(&mirror_in, &index);

	if (record)
		record->local = take(record, request->now_ns, request->full);
	return 0;
}

SEC("syscall")
int weir_mirror_take(struct weir_mirror_take *request)
{
	struct weir_mirror_take what = *request;

	bpf_loop(what.count, take_record, &what, 0);
	return 0;
}

#endif
