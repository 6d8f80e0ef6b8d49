// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Measures the fast path. A test run with many repeats does not give the program a fresh frame
 * each time: it would see its own output. So this wrapper puts the frame back, optionally as
 * another flow, and tail-calls the program under test. The empty program through the same wrapper
 * is the floor.
 *
 * Invariant: the wrapper does the same work whatever it calls.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* No program changes bytes beyond these; frames under test are at least as long. */
#define BENCH_BYTES 96
/* Where an IPv4 frame without options has the source's last two bytes and its port. */
#define BENCH_ADDRESS (14 + 12 + 2)
#define BENCH_PORT (14 + 20)
#define BENCH_CHECK (14 + 10)

struct bench_frame {
	__u64 word[BENCH_BYTES / 8];
	__u32 bytes; /* of the whole frame */
	__u32 zero;
	__u32 next; /* number of the next flow */
	__u32 mask; /* flows less one, a power of two less one; 0: always the same */
};

/* The frame to restore. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bench_frame);
} bench_frame SEC(".maps");

/* The program under test. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} bench_target SEC(".maps");

char weir_license[] SEC("license") = "Dual MIT/GPL";

SEC("xdp")
int bench_xdp(struct xdp_md *context)
{
	__u32 row = 0;
	struct bench_frame *frame = bpf_map_lookup_elem(&bench_frame, &row);
	__u8 *data;
	void *end;
	__u64 has;
	int longer;

	if (!frame)
		return XDP_ABORTED;
	/*
	 * What a tunnel has put before the frame goes, and what an answer left out behind comes back.
	 * The first is asked for each time, to cost the same.
	 */
	data = (void *)(long)context->data;
	end = (void *)(long)context->data_end;
	has = end - (void *)data;
	/* The compiler must not take the length off one pointer: the verifier allows that in no part. */
	asm volatile("" : "+r"(has));
	longer = (int)has - (int)frame->bytes;
	if (longer < 0 ? bpf_xdp_adjust_tail(context, -longer) :
			 bpf_xdp_adjust_head(context, longer))
		return XDP_ABORTED;
	data = (void *)(long)context->data;
	end = (void *)(long)context->data_end;
	if ((void *)(data + BENCH_BYTES) > end)
		return XDP_ABORTED;
	for (int i = 0; i < BENCH_BYTES / 8; i++)
		((__u64 *)data)[i] = frame->word[i];
	if (frame->mask) {
		__u32 flow = frame->next++ & frame->mask;

		__u16 *address = (__u16 *)(data + BENCH_ADDRESS);
		__u16 *check = (__u16 *)(data + BENCH_CHECK);
		__u32 sum = (__u16)~*check + (__u16)~*address + (flow >> 16);

		*(__u16 *)(data + BENCH_PORT) = flow;
		*address = flow >> 16;
		/* The IPv4 header must add up again (RFC 1624). */
		sum = (sum & 0xffff) + (sum >> 16);
		sum = (sum & 0xffff) + (sum >> 16);
		*check = ~sum;
	}
	bpf_tail_call(context, &bench_target, 0);
	return XDP_ABORTED;
}

SEC("xdp")
int bench_empty(struct xdp_md *context)
{
	(void)context;
	return XDP_PASS;
}
