// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The fast path: one XDP program for both families and directions.
 *
 *     frame ─ parse ─┬─ TCP, UDP for a service ─ flow, else lookup ─ rewrite ─ out to the member
 *                    ├─ TCP, UDP from a member's service port ─ flow ─ rewrite ─ out to the client
 *                    ├─ echo request for a service address ─ answered
 *                    ├─ broken or a fragment, for a service address ─ dropped, by reason
 *                    └─ anything else ─ the kernel's, untouched
 *
 * Invariant: a packet that is not for a service, not from a member's service port and no echo
 * request for a service address passes with every byte as it came.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "count.h"
#include "flow.h"
#include "forward.h"
#include "icmp.h"
#include "lookup.h"
#include "maps.h"
#include "parse.h"
#include "protect.h"

/*
 * Types that no map mentions, so that they too stand in the object's BTF and the daemon can check
 * its layouts and read the names of the enumerations. The section is not loaded.
 */
struct weir_layouts {
	struct weir_event event;
	enum weir_drop_reason drop_reason;
	enum weir_event_kind event_kind;
	enum weir_access access;
};
const struct weir_layouts *weir_layouts __attribute__((used, section("layouts")));

char weir_license[] SEC("license") = "Dual MIT/GPL";

/* What cannot be balanced: dropped when it is for a service address, else the kernel's. */
static __noinline int refuse(const struct packet *packet, __u32 reason)
{
	if (!bpf_map_lookup_elem(&addresses, &packet->flow.destination))
		return count_pass();
	return count_drop(&packet->flow, reason, 0, 0);
}

static __always_inline int balance(struct xdp_md *context, struct packet *packet, const int ipv6)
{
	struct weir_service_key key __attribute__((aligned(8)));
	struct weir_service *service;

	address_copy(&key.address, &packet->flow.destination);
	*(move32 *)&key.port = key_end(packet->flow.destination_port, packet->flow.protocol);
	service = bpf_map_lookup_elem(&services, &key);
	packet->interface = context->ingress_ifindex;
	if (service)
		return forward_to_member(packet, service, ipv6);
	return forward_to_client(context, packet, ipv6);
}

static __always_inline int handle(struct xdp_md *context, struct packet *packet, void *end,
				  enum parse_result parsed, const int ipv6)
{
	switch (parsed) {
	case PARSE_FLOW:
		return balance(context, packet, ipv6);
	case PARSE_ICMP:
		return icmp_answer(packet, end, ipv6);
	case PARSE_MALFORMED:
		return refuse(packet, WEIR_DROP_MALFORMED);
	case PARSE_FRAGMENT:
		return refuse(packet, WEIR_DROP_FRAGMENT);
	default:
		return count_pass();
	}
}

SEC("xdp")
int weir_xdp(struct xdp_md *context)
{
	void *data = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;
	struct ethhdr *ethernet = data;
	struct packet packet;
	__u16 type;

	if ((void *)(ethernet + 1) > end)
		return count_pass();
	/* Group addresses are never routed (RFC 1812 §5.3.4): ARP, neighbour discovery, floods. */
	if (ethernet->h_dest[0] & 1)
		return count_pass();
	packet.ethernet = ethernet;
	packet.network = ethernet + 1;
	packet.bytes = end - data;
	type = *(move16 *)(data + 2 * ETH_ALEN);
	if (type == bpf_htons(ETH_P_IP))
		return handle(context, &packet, end, parse_ipv4(&packet, end), 0);
	if (type == bpf_htons(ETH_P_IPV6))
		return handle(context, &packet, end, parse_ipv6(&packet, end), 1);
	return count_pass();
}
