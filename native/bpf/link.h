/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The link layer on the way out: MAC addresses, 802.1Q and 802.1ad tags, the interface.
 *
 * Invariant: whatever changes the length of a frame makes every pointer into it invalid; such
 * functions come last and return the verdict.
 */
#ifndef WEIR_LINK_H
#define WEIR_LINK_H

#include "count.h"
#include "parse.h"

static __always_inline void mac_copy(void *to, const void *from)
{
	*(move32 *)to = *(const move32 *)from;
	*(move16 *)(to + 4) = *(const move16 *)(from + 4);
}

/* Both addresses of a link header, in its order: so they lie in the tables and in frames. */
struct link_macs {
	__u8 to[ETH_ALEN];
	__u8 from[ETH_ALEN];
} __attribute__((aligned(4)));

static __always_inline void macs_copy(void *to, const void *from)
{
	*(move64 *)to = *(const move64 *)from;
	*(move32 *)(to + 8) = *(const move32 *)(from + 8);
}

/* How to leave by an interface: XDP_TX, XDP_REDIRECT, or XDP_ABORTED when there is no way. */
static __always_inline int way_out(const struct facts *packet, __u32 interface)
{
	if (interface == packet->interface)
		return XDP_TX;
	return bpf_redirect_map(&ports, interface, 0);
}

/* Bytes of tags, of a pair of ids as weir_member.vlan has them. */
static __always_inline __u32 vlan_bytes(__u32 vlan)
{
	return !vlan ? 0 : vlan >> 16 ? 2 * sizeof(struct vlan_tag) : sizeof(struct vlan_tag);
}

/* The type of the outer tag of a pair of ids as weir_flow.vlan has them. */
static __always_inline __be16 vlan_type(__u32 vlan)
{
	return !(vlan >> 16) == !(vlan & bpf_htons(WEIR_VLAN_OTHER)) ? bpf_htons(ETH_P_8021Q) :
								       bpf_htons(ETH_P_8021AD);
}

/* The frame's tags, as weir_flow.vlan has them. */
static __always_inline __u32 vlan_back(const struct packet *packet)
{
	__u32 vlan = packet->is->vlan;

	return vlan && packet->ethernet->h_proto != vlan_type(vlan) ?
		       vlan | bpf_htons(WEIR_VLAN_OTHER) :
		       vlan;
}

/* Writes a link header whose room was made before. Returns its length, 0 when it does not fit. */
static __always_inline __u32 link_write(void *data, void *end, const void *macs, __u32 vlan,
					__be16 type)
{
	struct ethhdr *ethernet = data;
	struct vlan_tag *tag = (void *)(ethernet + 1);

	if ((void *)(tag + 2) > end)
		return 0;
	macs_copy(ethernet, macs);
	if (!vlan) {
		ethernet->h_proto = type;
		return ETH_HLEN;
	}
	ethernet->h_proto = vlan_type(vlan);
	tag[0].control = vlan & bpf_htons(WEIR_VLAN_ID);
	if (!(vlan >> 16)) {
		tag[0].type = type;
		return ETH_HLEN + sizeof(*tag);
	}
	tag[0].type = bpf_htons(ETH_P_8021Q);
	tag[1].control = vlan >> 16;
	tag[1].type = type;
	return ETH_HLEN + 2 * sizeof(*tag);
}

/* The same frame with other tags and MAC addresses. */
__noinline int link_retag(struct xdp_md *context, const struct facts *packet,
			  const struct link_macs *macs, __u32 vlan)
{
	if (!packet || !macs)
		return -1;
	if (bpf_xdp_adjust_head(context, (int)(packet->l2 - ETH_HLEN) - (int)vlan_bytes(vlan)))
		return -1;
	return link_write((void *)(long)context->data, (void *)(long)context->data_end, macs, vlan,
			  packet->ipv6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP)) ?
		       0 :
		       -1;
}

/* A link header with as many tags as there may be, as it stood in a frame. */
struct link_header {
	move64 word[3];
};

/* 0 when it is there. */
static __always_inline int link_take(struct link_header *link, const void *data, const void *end)
{
	if (data + sizeof(*link) > end)
		return -1;
	for (int i = 0; i < 3; i++)
		link->word[i] = ((const move64 *)data)[i];
	return 0;
}

/*
 * Writes it before an answer to its frame: the same tags, the MAC addresses the other way round.
 * May write 10 bytes beyond it, where the IP header is not written yet.
 */
static __always_inline int link_answer(const struct link_header *link, void *data, void *end)
{
	struct ethhdr *ethernet = data;

	if (data + sizeof(*link) > end)
		return -1;
	for (int i = 0; i < 3; i++)
		((move64 *)data)[i] = link->word[i];
	mac_copy(ethernet->h_dest, (const __u8 *)link->word + ETH_ALEN);
	mac_copy(ethernet->h_source, link->word);
	return 0;
}

/*
 * Sends the frame on: the last thing that is done with it. `macs`: 12 bytes of a table, see
 * link_macs. The same tags stay as they are, with their priorities; others have none.
 */
static __always_inline int link_send(struct xdp_md *context, const struct packet *packet,
				     const void *macs, __u32 vlan, int action)
{
	if (vlan != packet->is->vlan || packet->is->l2 != ETH_HLEN + vlan_bytes(vlan) ||
	    (vlan && packet->ethernet->h_proto != vlan_type(vlan))) {
		struct link_macs kept;

		macs_copy(&kept, macs);
		if (link_retag(context, packet->is, &kept, vlan))
			return count_drop(&packet->is->flow, WEIR_DROP_HEADROOM, 0, 0);
		return action;
	}
	macs_copy(packet->ethernet, macs);
	return action;
}

#endif
