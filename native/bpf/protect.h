/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Protection of services: access lists, and limits on flows that begin.
 *
 * Access lists: the longest prefix that holds the source decides; the daemon has settled
 * everything else (which list wins, what holds for a source in no list) in the entries.
 *
 * Rates: a token bucket kept as one number, the time at which the next flow is due (the virtual
 * scheduling form of the generic cell rate algorithm, ITU-T I.371 annex A). A flow that begins
 * moves it on by cost_ns; while it lies more than burst_ns ahead of now, flows are refused. So a
 * refusal only reads, and under a flood the line stays in every processor's cache.
 *
 * Invariant: a flow is refused before any table that established flows need was written, and a
 * refused flow leaves a trace in a source's bucket only while the service itself still takes
 * flows: a flood of forged sources is stopped by the service's own bucket, which it cannot avoid,
 * and source_active gives the least recently used away. A source whose entry went begins anew.
 */
#ifndef WEIR_PROTECT_H
#define WEIR_PROTECT_H

#include <bpf/bpf_endian.h>

#include "maps.h"
#include "parse.h"

#define WEIR_ACCESS_BITS (32 + 128)
#define WEIR_ATOMIC_TRIES 4

/* For each packet of a service with WEIR_PROTECT_ACCESS: WEIR_DROP_NONE or WEIR_DROP_DENIED. */
static __always_inline __u32 protect_source(const struct facts *packet,
					    const struct weir_service *service)
{
	struct weir_access_key key __attribute__((aligned(8)));
	struct weir_protection *protect;
	__u32 id = service->id;
	__u32 *verdict;

	protect = bpf_map_lookup_elem(&protection, &id);
	if (!protect)
		return WEIR_DROP_NONE;
	key.bits = WEIR_ACCESS_BITS;
	key.set = protect->access_set;
	for (int i = 0; i < 4; i++)
		key.address.word[i] = packet->flow.source.word[i];
	verdict = bpf_map_lookup_elem(&access, &key);
	return verdict && *verdict == WEIR_ACCESS_DENY ? WEIR_DROP_DENIED : WEIR_DROP_NONE;
}

/* Whether the bucket has room, without taking from it. */
static __always_inline int bucket_open(const __u64 *due, const struct weir_rate *rate, __u64 now)
{
	__u64 seen = *(const volatile __u64 *)due;

	return (__s64)(seen - now) <= (__s64)rate->burst_ns;
}

/* Takes one flow from the bucket, if it has room. */
static __always_inline int bucket_take(__u64 *due, const struct weir_rate *rate, __u64 now)
{
	for (int i = 0; i < WEIR_ATOMIC_TRIES; i++) {
		__u64 seen = *(volatile __u64 *)due;
		__u64 from = (__s64)(seen - now) > 0 ? seen : now;

		if (from - now > rate->burst_ns)
			return 0;
		if (__sync_val_compare_and_swap(due, seen, from + rate->cost_ns) == seen)
			return 1;
	}
	/* Other processors were faster each time: what this one takes is still counted. */
	__sync_fetch_and_add(due, rate->cost_ns);
	return 1;
}

/* The entry's key for a client: its address, cut to the bits that count. */
static __always_inline void client_key(struct weir_source_key *key,
				       const struct weir_address *source, __u32 service,
				       const struct weir_protection *protect)
{
	int mapped = !source->word[0] && !source->word[1] &&
		     source->word[2] == bpf_htonl(0xffff);
	int bits = mapped ? protect->source_bits : protect->source_bits6;

	for (int i = 0; i < 4; i++, bits -= 32) {
		__u32 mask = bits >= 32 ? ~0U : bits <= 0 ? 0 : ~0U << (32 - bits);

		key->address.word[i] = source->word[i] & bpf_htonl(mask);
	}
	key->service = service;
}

/*
 * Once for each flow that protect_new_flow let in, when it ended or did not come to be after all:
 * the source has one less. `source` is the client's address, `service` the id. One look-up in an
 * array where no limit of sources is on. Counts that began before the limit, or that the table gave away, end at 0.
 */
__noinline int protect_flow_end(const struct weir_address *source, __u32 service)
{
	struct weir_protection *protect;
	struct weir_source *entry;
	struct weir_source_key key;

	if (!source)
		return 0;
	protect = bpf_map_lookup_elem(&protection, &service);
	if (!protect || !protect->source_bits)
		return 0;
	client_key(&key, source, service, protect);
	entry = bpf_map_lookup_elem(&source_active, &key);
	if (!entry)
		return 0;
	for (int i = 0; i < WEIR_ATOMIC_TRIES; i++) {
		__u32 seen = *(volatile __u32 *)&entry->active;

		if (!seen || __sync_val_compare_and_swap(&entry->active, seen, seen - 1) == seen)
			return 1;
	}
	return 0;
}

/*
 * A flow that another unit had begun counts here from now on: the source has one more, whatever
 * its limit. Nothing where no limit of sources is on.
 */
__noinline int protect_flow_add(const struct weir_address *source, __u32 service)
{
	struct weir_protection *protect;
	struct weir_source fresh = {};
	struct weir_source *entry;
	struct weir_source_key key;

	if (!source)
		return 0;
	protect = bpf_map_lookup_elem(&protection, &service);
	if (!protect || !protect->source_bits)
		return 0;
	client_key(&key, source, service, protect);
	entry = bpf_map_lookup_elem(&source_active, &key);
	if (!entry) {
		bpf_map_update_elem(&source_active, &key, &fresh, BPF_NOEXIST);
		entry = bpf_map_lookup_elem(&source_active, &key);
	}
	if (entry)
		__sync_fetch_and_add(&entry->active, 1);
	return 1;
}

/* The limits of the source: its bucket is taken from, and the flow is counted. */
__noinline int protect_source_flow(const struct facts *packet,
					    const struct weir_protection *protect, __u32 service,
					    __u64 now)
{
	struct weir_source fresh = {};
	struct weir_source_key key;
	struct weir_source *source;

	if (!packet || !protect)
		return WEIR_DROP_NONE;
	client_key(&key, &packet->flow.source, service, protect);
	source = bpf_map_lookup_elem(&source_active, &key);
	if (!source) {
		bpf_map_update_elem(&source_active, &key, &fresh, BPF_NOEXIST);
		source = bpf_map_lookup_elem(&source_active, &key);
		/* Only when memory is out: then the limits of the service have to do. */
		if (!source)
			return WEIR_DROP_NONE;
	}
	if (protect->source_connections && source->active >= protect->source_connections)
		return WEIR_DROP_CONNECTION_LIMIT;
	if (protect->source.cost_ns && !bucket_take(&source->due_ns, &protect->source, now))
		return WEIR_DROP_RATE_LIMIT;
	__sync_fetch_and_add(&source->active, 1);
	return WEIR_DROP_NONE;
}

/*
 * Once for each flow that begins (a TCP SYN, the first packet of a UDP flow), when its member is
 * chosen and nothing was written yet. 0, or the reason to drop. When the flow then does not come
 * to be for another reason, the caller says so by protect_flow_end.
 */
__noinline int protect_new_flow(const struct facts *packet,
					 const struct weir_service *service,
				__u32 row)
{
	struct weir_member_limits *limits = 0;
	struct weir_protection *protect;
	__u32 id, reason;
	__u64 *service_bucket, *member_bucket = 0;
	__u32 *active;
	__u64 now;

	if (!packet || !service ||
	    !(service->protect &
	      (WEIR_PROTECT_SERVICE | WEIR_PROTECT_MEMBER | WEIR_PROTECT_SOURCE)))
		return WEIR_DROP_NONE;
	id = service->id;
	protect = bpf_map_lookup_elem(&protection, &id);
	service_bucket = bpf_map_lookup_elem(&service_due, &id);
	if (!protect || !service_bucket)
		return WEIR_DROP_NONE;
	now = bpf_ktime_get_ns();
	/* First what only reads. */
	if (protect->service.cost_ns && !bucket_open(service_bucket, &protect->service, now))
		return WEIR_DROP_RATE_LIMIT;
	if (protect->service_connections) {
		active = bpf_map_lookup_elem(&service_active, &id);
		if (active && *active >= protect->service_connections)
			return WEIR_DROP_CONNECTION_LIMIT;
	}
	if (service->protect & WEIR_PROTECT_MEMBER) {
		limits = bpf_map_lookup_elem(&member_limits, &row);
		member_bucket = bpf_map_lookup_elem(&member_due, &row);
		active = bpf_map_lookup_elem(&member_active, &row);
		if (limits && limits->connections && active && *active >= limits->connections)
			return WEIR_DROP_CONNECTION_LIMIT;
		if (limits && limits->rate.cost_ns && member_bucket &&
		    !bucket_open(member_bucket, &limits->rate, now))
			return WEIR_DROP_RATE_LIMIT;
	}
	/* The source before the rest: what one source may not have, it must not take from all. */
	if (service->protect & WEIR_PROTECT_SOURCE) {
		reason = protect_source_flow(packet, protect, id, now);
		if (reason)
			return reason;
	}
	if (protect->service.cost_ns && !bucket_take(service_bucket, &protect->service, now))
		reason = WEIR_DROP_RATE_LIMIT;
	else if (limits && limits->rate.cost_ns && member_bucket &&
		 !bucket_take(member_bucket, &limits->rate, now))
		reason = WEIR_DROP_RATE_LIMIT;
	else
		return WEIR_DROP_NONE;
	/* Another processor took the last one since the look above. */
	protect_flow_end(&packet->flow.source, id);
	return reason;
}

#endif
