/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * What the daemon gets to see: counters, drops by reason, events.
 * Functions that are not static are verified by themselves, once, whoever calls them.
 *
 * Invariant: a packet only ever writes to memory of its own CPU, the ring of events excepted,
 * and a CPU sends at most settings.events_per_second events.
 */
#ifndef WEIR_COUNT_H
#define WEIR_COUNT_H

#include "maps.h"

#define WEIR_SECOND_NS 1000000000ULL

static __always_inline struct weir_totals *count_totals(void)
{
	__u32 row = 0;

	return bpf_map_lookup_elem(&totals, &row);
}

static __always_inline int count_pass(void)
{
	struct weir_totals *total = count_totals();

	if (total)
		total->passed++;
	return XDP_PASS;
}

static __always_inline void count_forward(__u32 service, __u32 member, __u32 bytes)
{
	struct weir_counters *counters = bpf_map_lookup_elem(&service_counters, &service);

	if (counters) {
		counters->packets++;
		counters->bytes += bytes;
	}
	counters = bpf_map_lookup_elem(&member_counters, &member);
	if (counters) {
		counters->packets++;
		counters->bytes += bytes;
	}
}

static __always_inline void count_reply(__u32 service, __u32 member, __u32 bytes)
{
	struct weir_counters *counters = bpf_map_lookup_elem(&service_counters, &service);

	if (counters) {
		counters->reply_packets++;
		counters->reply_bytes += bytes;
	}
	counters = bpf_map_lookup_elem(&member_counters, &member);
	if (counters) {
		counters->reply_packets++;
		counters->reply_bytes += bytes;
	}
}

static __always_inline void count_flow(__u32 service, __u32 member)
{
	struct weir_counters *counters = bpf_map_lookup_elem(&service_counters, &service);

	if (counters)
		counters->flows++;
	counters = bpf_map_lookup_elem(&member_counters, &member);
	if (counters)
		counters->flows++;
}

/* The member has answered a handshake. */
static __always_inline void count_answer(__u32 service, __u32 member, __u64 took)
{
	struct weir_counters *counters = bpf_map_lookup_elem(&service_counters, &service);

	if (counters) {
		counters->answers++;
		counters->answer_ns += took;
	}
	counters = bpf_map_lookup_elem(&member_counters, &member);
	if (counters) {
		counters->answers++;
		counters->answer_ns += took;
	}
}

/* The member has reset a connection. */
static __always_inline void count_reset(__u32 service, __u32 member)
{
	struct weir_counters *counters = bpf_map_lookup_elem(&service_counters, &service);

	if (counters)
		counters->resets++;
	counters = bpf_map_lookup_elem(&member_counters, &member);
	if (counters)
		counters->resets++;
}

/* A handshake that began is over: its client is no forged one. */
static __always_inline void count_confirmed(__u32 service)
{
	struct weir_cookies *state = bpf_map_lookup_elem(&cookies, &service);

	if (state)
		state->confirmed++;
}

/* Takes one from a budget of this second, if `most` leaves one. */
static __always_inline int budget_take(__u32 row, __u64 now, __u64 most)
{
	struct weir_event_budget *budget = bpf_map_lookup_elem(&event_budget, &row);

	if (!budget)
		return 0;
	if (now - budget->second >= WEIR_SECOND_NS) {
		budget->second = now;
		budget->spent = 0;
	}
	if (budget->spent >= most)
		return 0;
	budget->spent++;
	return 1;
}

static __always_inline struct weir_settings *tuning_get(void)
{
	__u32 row = 0;

	return bpf_map_lookup_elem(&settings, &row);
}

/*
 * Whether this CPU may send one more event now. Half of the budget is cut into shares, one for
 * flow events and one for each reason to drop, so that a flood for one reason hides no other;
 * the rest is for whoever comes first.
 */
static __always_inline int event_allowed(__u32 row)
{
	struct weir_settings *tuning = tuning_get();
	__u64 now, share;

	if (!tuning)
		return 0;
	now = bpf_ktime_get_coarse_ns();
	share = tuning->events_per_second / (2 * WEIR_DROP_REASONS);
	if (row < WEIR_BUDGET_SHARED && budget_take(row, now, share))
		return 1;
	return budget_take(WEIR_BUDGET_SHARED, now,
			   tuning->events_per_second - share * WEIR_DROP_REASONS);
}

/* Whether an ICMP error or a reset may be sent (RFC 1812 §4.3.2.8, RFC 4443 §2.4 f). */
static __always_inline int error_allowed(void)
{
	struct weir_settings *tuning = tuning_get();

	return tuning && budget_take(WEIR_BUDGET_ERRORS, bpf_ktime_get_coarse_ns(),
				     tuning->errors_per_second);
}

/* What happened to a flow, beside its key. */
struct weir_happening {
	__u32 service;
	__u32 member;
	__u32 previous;
	__u8 kind;
	__u8 reason;
};

/* Rare, so out of the way of the packets that nothing happens to. */
__noinline int event_send(const struct weir_flow_key *flow, const struct weir_happening *what)
{
	struct weir_event *event = 0;

	if (!flow || !what)
		return 0;
	if (event_allowed(what->kind == WEIR_EVENT_DROP ? what->reason : WEIR_BUDGET_FLOWS))
		event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		struct weir_totals *total = count_totals();

		if (total)
			total->events_lost++;
		return 0;
	}
	event->time_ns = bpf_ktime_get_ns();
	event->flow = *flow;
	event->service = what->service;
	event->member = what->member;
	event->previous = what->previous;
	event->kind = what->kind;
	event->reason = what->reason;
	event->zero[0] = 0;
	event->zero[1] = 0;
	bpf_ringbuf_submit(event, 0);
	return 1;
}

/* Drops a packet: counted always, told as far as the budget goes. */
__noinline int count_drop(const struct weir_flow_key *flow, __u32 reason, __u32 service,
			  __u32 member)
{
	struct weir_happening what = {
		.service = service,
		.member = member,
		.kind = WEIR_EVENT_DROP,
		.reason = reason,
	};
	__u64 *dropped = bpf_map_lookup_elem(&drops, &reason);

	if (!flow)
		return XDP_DROP;
	if (dropped)
		++*dropped;
	event_send(flow, &what);
	return XDP_DROP;
}

#endif
