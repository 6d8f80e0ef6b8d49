// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * A member's end of a tunnel, for machines whose kernel has none (CONFIG_NET_IPIP, IPV6_SIT,
 * IPV6_TUNNEL, NET_FOU): takes the outer header off IP in IP (RFC 2003, RFC 2473, RFC 4213) and
 * GUE variant 1 (draft-ietf-intarea-gue-09 §4), and leaves the packet inside to the member's
 * stack. The lab's members run it; it is no part of the fast path, and shares nothing with it, so
 * that an error of the one cannot hide behind the same error of the other.
 *
 * Invariant: what is no tunnel's packet passes with every byte as it came; what is one but broken
 * is dropped, as a kernel's own tunnel would.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define DECAP_GUE_PORT 6080
#define DECAP_FRAGMENT 0x3fff

char weir_license[] SEC("license") = "Dual MIT/GPL";

/* Takes `bytes` behind the Ethernet header away; what is inside says its own version. */
static __always_inline int uncover(struct xdp_md *context, __u32 bytes)
{
	void *data = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;
	struct ethhdr outer, *ethernet = data;
	__u8 *first;

	if ((void *)(ethernet + 1) > end)
		return XDP_DROP;
	outer = *ethernet;
	if (bpf_xdp_adjust_head(context, (int)bytes))
		return XDP_DROP;
	ethernet = (void *)(long)context->data;
	end = (void *)(long)context->data_end;
	first = (void *)(ethernet + 1);
	if ((void *)(first + 1) > end)
		return XDP_DROP;
	if (*first >> 4 == 4)
		outer.h_proto = bpf_htons(ETH_P_IP);
	else if (*first >> 4 == 6)
		outer.h_proto = bpf_htons(ETH_P_IPV6);
	else
		return XDP_DROP;
	*ethernet = outer;
	return XDP_PASS;
}

/* How long the outer headers are, 0 when this is no tunnel's packet. */
static __always_inline __u32 outer_bytes(void *behind, void *end, __u32 header, __u8 protocol)
{
	struct udphdr *udp = behind;

	if (protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6)
		return header;
	if (protocol == IPPROTO_UDP && (void *)(udp + 1) <= end &&
	    udp->dest == bpf_htons(DECAP_GUE_PORT))
		return header + sizeof(*udp);
	return 0;
}

SEC("xdp")
int decap_xdp(struct xdp_md *context)
{
	void *data = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;
	struct ethhdr *ethernet = data;
	__u32 bytes;

	if ((void *)(ethernet + 1) > end)
		return XDP_PASS;
	if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = (void *)(ethernet + 1);
		__u32 sum;

		if ((void *)(ip + 1) > end || ip->ihl != 5 ||
		    ip->frag_off & bpf_htons(DECAP_FRAGMENT))
			return XDP_PASS;
		bytes = outer_bytes(ip + 1, end, sizeof(*ip), ip->protocol);
		if (!bytes)
			return XDP_PASS;
		sum = bpf_csum_diff(0, 0, (void *)ip, sizeof(*ip), 0);
		sum = (sum & 0xffff) + (sum >> 16);
		sum = (sum & 0xffff) + (sum >> 16);
		if (sum != 0xffff)
			return XDP_DROP;
		return uncover(context, bytes);
	}
	if (ethernet->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = (void *)(ethernet + 1);

		if ((void *)(ip + 1) > end)
			return XDP_PASS;
		bytes = outer_bytes(ip + 1, end, sizeof(*ip), ip->nexthdr);
		return bytes ? uncover(context, bytes) : XDP_PASS;
	}
	return XDP_PASS;
}
