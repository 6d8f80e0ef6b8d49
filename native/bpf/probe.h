/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * Packets by which the daemon tests the way to a member. It puts two entries into the flow table:
 * one with WEIR_FLOW_PROBE for the tuple of its own packets, which goes to the member whatever its
 * state and whatever the hash says; and one of direction WEIR_FLOW_ANSWER for the tuple that the
 * member's answer will have, in which the answer is noted. Then it lets the program meet a packet
 * as if it had come in.
 *
 * Invariant: other traffic is asked about probes only where it would have been dropped, passed to
 * the kernel or balanced anew, and the last two only while settings.probing is set. An answer to a
 * probe goes no further.
 */
#ifndef WEIR_PROBE_H
#define WEIR_PROBE_H

#include "count.h"
#include "find.h"
#include "parse.h"

/* In weir_flow.hash of an answer: something came; the TCP flags of it are below. */
#define WEIR_ANSWERED 0x100

/* The row of the member that a packet is a probe of; 0: it is none. */
__noinline int probe_row(const struct facts *packet)
{
	struct weir_flow *probe;
	struct weir_member *member;
	__u32 row;

	if (!packet)
		return 0;
	probe = flow_find(&packet->flow);
	if (!probe || !(probe->flags & WEIR_FLOW_PROBE))
		return 0;
	row = probe->member;
	member = bpf_map_lookup_elem(&members, &row);
	return member && member->generation == probe->generation ? row : 0;
}

/* Whether the packet answers a probe, which is noted. The first answer is kept. */
__noinline int probe_answer(const struct facts *packet)
{
	struct weir_flow *answer;

	if (!packet)
		return 0;
	answer = flow_find(&packet->flow);
	if (!answer || answer->direction != WEIR_FLOW_ANSWER)
		return 0;
	if (answer->hash)
		return 1;
	answer->interface = packet->interface;
	answer->seen_ns = bpf_ktime_get_ns();
	answer->hash = WEIR_ANSWERED | (packet->tcp_flags & 0xff);
	return 1;
}

#endif
