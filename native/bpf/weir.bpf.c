// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The fast path: one XDP program for both families and directions.
 *
 *     frame ─ parse ─┬─ TCP, UDP for a service ─ hash, entry where it may differ ─ out to the member
 *                    ├─ TCP, UDP from a member's service port ─ entry ─ out to the client
 *                    ├─ a later fragment ─ after its first one
 *                    ├─ ICMP error ─ to the member or client whose packet it quotes
 *                    ├─ echo request for a service address ─ answered
 *                    ├─ broken, for a service address ─ dropped, by reason
 *                    └─ anything else ─ the kernel's, untouched
 *
 * Invariant: a packet that is not for a service, not from a member's service port and no echo
 * request for a service address passes with every byte as it came.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "cookie_client.h"
#include "cookie_member.h"
#include "count.h"
#include "find.h"
#include "forward.h"
#include "fragment.h"
#include "icmp.h"
#include "maps.h"
#include "mirror_take.h"
#include "mirror_walk.h"
#include "parse.h"
#include "probe.h"
#include "sweep.h"

/*
 * Types that no map mentions, so that they too stand in the object's BTF and the daemon can check
 * its layouts and read the names of the enumerations. The section is not loaded.
 */
struct weir_layouts {
	struct weir_event event;
	struct weir_sweep sweep;
	enum weir_drop_reason drop_reason;
	enum weir_event_kind event_kind;
	enum weir_access access;
	enum weir_mirror_outcome mirror_outcome;
	struct weir_mirror_walk mirror_walk;
	struct weir_mirror_take mirror_take;
};
const struct weir_layouts *weir_layouts __attribute__((used, section("layouts")));

char weir_license[] SEC("license") = "Dual MIT/GPL";

/* What is broken: dropped when it is for a service address, else the kernel's. */
static __noinline int refuse(const struct facts *packet, __u32 reason)
{
	if (!address_find(&packet->flow.destination))
		return count_pass();
	return count_drop(&packet->flow, reason, 0, 0);
}

static __always_inline int balance(struct xdp_md *context, struct facts *packet, const int ipv6)
{
	struct weir_service_key key __attribute__((aligned(8)));
	struct weir_service *service;
	struct weir_settings *tuning;
	int action;

	address_copy(&key.address, &packet->flow.destination);
	*(move32 *)&key.port = key_end(packet->flow.destination_port, packet->flow.protocol);
	service = bpf_map_lookup_elem(&services, &key);
	packet->interface = context->ingress_ifindex;
	if (service) {
		packet->cookie = 0;
		action = ipv6 ? to_member6(context, packet, service) :
				to_member4(context, packet, service);
		if (action != WEIR_ASK_COOKIE)
			return action;
		action = cookie_client(context, packet, service);
		if (action == WEIR_AGAIN)
			action = ipv6 ? to_member6(context, packet, service) :
					to_member4(context, packet, service);
		return action;
	}
	tuning = tuning_get();
	if (tuning && tuning->probing && probe_answer(packet))
		return XDP_DROP;
	if (!tuning || !tuning->nat_services)
		return count_pass();
	address_copy(&key.address, &packet->flow.source);
	*(move32 *)&key.port = key_end(packet->flow.source_port, packet->flow.protocol);
	if (!bpf_map_lookup_elem(&reply_sources, &key))
		return count_pass();
	packet->cookie = 0;
	action = ipv6 ? to_client6(context, packet) : to_client4(context, packet);
	if (action != WEIR_ASK_COOKIE)
		return action;
	action = cookie_member(context, packet);
	if (action == WEIR_AGAIN)
		action = ipv6 ? to_client6(context, packet) : to_client4(context, packet);
	return action;
}

static __always_inline int handle(struct xdp_md *context, struct facts *packet,
				  enum parse_result parsed, const int ipv6)
{
	if (parsed == PARSE_FLOW)
		return balance(context, packet, ipv6);
	packet->interface = context->ingress_ifindex;
	switch (parsed) {
	case PARSE_ICMP:
		return ipv6 ? icmp6(context, packet) : icmp4(context, packet);
	case PARSE_MALFORMED:
		return refuse(packet, WEIR_DROP_MALFORMED);
	case PARSE_FRAGMENT:
		return ipv6 ? fragment6(context, packet) : fragment4(context, packet);
	default:
		return count_pass();
	}
}

/* 1 where both are the same, else 0, by arithmetic alone. */
static __always_inline __u32 same16(__u32 one, __u32 other)
{
	return ((one ^ other) - 1) >> 31;
}

/*
 * How many tags the frame has, and their ids. Without branches: the verifier looks at what
 * follows once for each way to get there.
 */
static __always_inline __u32 vlan_read(const void *behind, __u32 type, __u32 *vlan)
{
	const struct vlan_tag *tag = behind;
	__u32 first = same16(type, bpf_htons(ETH_P_8021Q)) | same16(type, bpf_htons(ETH_P_8021AD));
	__u32 second = first & same16(tag[0].type, bpf_htons(ETH_P_8021Q));

	*vlan = (tag[0].control & bpf_htons(WEIR_VLAN_ID) & -first) |
		(__u32)(tag[1].control & bpf_htons(WEIR_VLAN_ID) & -second) << 16;
	return first + second;
}

/* 1 where both are the same: numbers of less than 64 bits. */
static __always_inline __u64 same48(__u64 one, __u64 other)
{
	return ((one ^ other) - 1) >> 63;
}

/*
 * Whether the frame is for this unit. An interface in promiscuous mode is given what a switch
 * floods, for the other unit of a pair too. MAC addresses of virtual routers (RFC 9568 §7.3) count
 * unless the speaker says that another unit has them. Without branches, as above; a function
 * of its own, since the stack below weir_xdp has no room for what it keeps.
 */
static __noinline __u64 is_mine(const struct ethhdr *ethernet)
{
	__u64 to = *(const move64 *)ethernet->h_dest & ((1ULL << 48) - 1);
	__u64 prefix = to & ((1ULL << 40) - 1), mine, router6, router;
	struct weir_elsewhere *others;
	struct weir_settings *tuning;
	__u32 row = 0;

	tuning = bpf_map_lookup_elem(&settings, &row);
	others = bpf_map_lookup_elem(&elsewhere, &row);
	if (!tuning || !others)
		return 1;
	router6 = same48(prefix, WEIR_ROUTER_MAC6);
	router = router6 | same48(prefix, WEIR_ROUTER_MAC4);
	mine = (tuning->own_macs_known ^ 1) | router |
	       same48(to, tuning->own_macs[(to * tuning->own_macs_factor) >> 56]);
	return mine & ~(router & others->router[router6 << 8 | to >> 40]);
}

SEC("xdp")
int weir_xdp(struct xdp_md *context)
{
	void *data = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;
	struct ethhdr *ethernet = data;
	struct facts packet;
	void *type_at, *network;
	__u32 tags;
	__u16 type;

	/* No frame with an IP packet is shorter; two tags are then in it, if it has them. */
	if (data + ETH_HLEN + 2 * sizeof(struct vlan_tag) > end)
		return count_pass();
	/* Group addresses are never routed (RFC 1812 §5.3.4): ARP, neighbour discovery, floods. */
	if (ethernet->h_dest[0] & 1)
		return count_pass();
	if (!is_mine(ethernet))
		return count_pass();
	tags = vlan_read(ethernet + 1, *(move16 *)(data + 2 * ETH_ALEN), &packet.vlan);
	packet.bytes = end - data;
	packet.l2 = ETH_HLEN + tags * sizeof(struct vlan_tag);
	type_at = data + 2 * ETH_ALEN + tags * sizeof(struct vlan_tag);
	network = type_at + sizeof(type);
	if (network > end)
		return count_pass();
	type = *(move16 *)type_at;
	if (type == bpf_htons(ETH_P_IP))
		return handle(context, &packet, parse_ipv4(&packet, network, end), 0);
	if (type == bpf_htons(ETH_P_IPV6))
		return handle(context, &packet, parse_ipv6(&packet, network, end), 1);
	return count_pass();
}
