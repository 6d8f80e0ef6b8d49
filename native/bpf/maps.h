/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The maps, each with what it is. The structures in them are described in tables.h.
 * Invariant: the daemon pins all of them by these names except event_budget and scratch, so a new
 * version of the programs continues with the tables of the old one.
 */
#ifndef WEIR_MAPS_H
#define WEIR_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "tables.h"

#define WEIR_EVENT_BYTES (256 * 1024)
#define WEIR_MAX_FRAGMENTS 16384
#define WEIR_DEFAULT_PERSISTENCE (1 << 18)

/*
 * Services by address, port and protocol. Not preallocated, here and in addresses: an entry that
 * is rewritten would else be reused at once while another CPU still reads it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WEIR_MAX_SERVICES);
	__type(key, struct weir_service_key);
	__type(value, struct weir_service);
} services SEC(".maps");

/* Addresses of services, with what the unit does for each: enum weir_address_flags. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WEIR_MAX_SERVICES);
	__type(key, struct weir_address);
	__type(value, __u32);
} addresses SEC(".maps");

/* Members by row. Row 0 is never used: an empty slot of a lookup table points at it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WEIR_MAX_MEMBERS);
	__type(key, __u32);
	__type(value, struct weir_member);
} members SEC(".maps");

/* The pools' lookup tables, in chunks; written by the daemon through shared memory. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, WEIR_DEFAULT_LOOKUP_CHUNKS);
	__type(key, __u32);
	__type(value, struct weir_chunk);
} lookup SEC(".maps");

/*
 * Flows that the hash alone would not send where they go, in both directions. Entries leave by
 * the sweep (sweep.h) alone; a full table refuses new ones, and each caller says what then.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WEIR_DEFAULT_FLOWS);
	__type(key, struct weir_flow_key);
	__type(value, struct weir_flow);
} flows SEC(".maps");

/* What is walked over next; written by the daemon through shared memory. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, WEIR_WALKERS);
	__type(key, __u32);
	__type(value, struct weir_walk_keys);
} walk_keys SEC(".maps");

/* When UDP flows of services were last seen, the table of flows that have no entry. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, WEIR_RECENT_LINES);
	__type(key, __u32);
	__type(value, struct weir_recent);
} recent SEC(".maps");

/* Where later fragments go. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WEIR_MAX_FRAGMENTS);
	__type(key, struct weir_fragment_key);
	__type(value, struct weir_fragment);
} fragments SEC(".maps");

/* Persistence by source address. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WEIR_DEFAULT_PERSISTENCE);
	__type(key, struct weir_persistence_key);
	__type(value, struct weir_persistence);
} persistence SEC(".maps");

/* Members by the server id in QUIC connection ids. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WEIR_MAX_MEMBERS);
	__type(key, struct weir_quic_key);
	__type(value, __u32);
} quic_servers SEC(".maps");

/* Tables of the services by id. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WEIR_MAX_SERVICES);
	__type(key, __u32);
	__type(value, struct weir_placement);
} placements SEC(".maps");

/* How many flows of a member are active, by row; all CPUs add to it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WEIR_MAX_MEMBERS);
	__type(key, __u32);
	__type(value, __u32);
} member_active SEC(".maps");

/* How many flows of a service are active, by id. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WEIR_MAX_SERVICES);
	__type(key, __u32);
	__type(value, __u32);
} service_active SEC(".maps");

/* Whose turn it is, by service id: WEIR_CHOICE_CURSOR and ties of WEIR_CHOICE_LEAST. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WEIR_MAX_SERVICES);
	__type(key, __u32);
	__type(value, __u32);
} cursors SEC(".maps");

/* Addresses of the unit that full nat speaks from: IPv4 first, IPv6 from WEIR_MAX_NAT_ADDRESSES on. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * WEIR_MAX_NAT_ADDRESSES);
	__type(key, __u32);
	__type(value, struct weir_nat_address);
} nat_addresses SEC(".maps");

/* Ports of them that are in use, by the same rows. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * WEIR_MAX_NAT_ADDRESSES);
	__type(key, __u32);
	__type(value, __u32);
} nat_ports SEC(".maps");

/* SYN cookies of each service, by its id. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WEIR_MAX_SERVICES);
	__type(key, __u32);
	__type(value, struct weir_cookies);
} cookies SEC(".maps");

/* Where replies of nat services come from, with the number of services that use the source. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WEIR_MAX_MEMBERS);
	__type(key, struct weir_reply_key);
	__type(value, __u32);
} reply_sources SEC(".maps");

/* Traffic of each service, by its id. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WEIR_MAX_SERVICES);
	__type(key, __u32);
	__type(value, struct weir_counters);
} service_counters SEC(".maps");

/* Traffic of each member, by its row. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WEIR_MAX_MEMBERS);
	__type(key, __u32);
	__type(value, struct weir_counters);
} member_counters SEC(".maps");

/* Dropped packets by reason. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WEIR_DROP_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} drops SEC(".maps");

/* What happened outside of any service. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct weir_totals);
} totals SEC(".maps");

struct weir_event_budget {
	__u64 second; /* when the running second began, CLOCK_MONOTONIC_COARSE */
	__u64 spent;  /* events sent in it */
};

/* Rows of event_budget: flow events, each drop reason under its number, what all share, errors sent. */
#define WEIR_BUDGET_FLOWS 0
#define WEIR_BUDGET_SHARED WEIR_DROP_REASONS
#define WEIR_BUDGET_ERRORS (WEIR_DROP_REASONS + 1)
#define WEIR_BUDGETS (WEIR_DROP_REASONS + 2)

/* How much of each kind this CPU has sent in the running second; nobody else's business. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WEIR_BUDGETS);
	__type(key, __u32);
	__type(value, struct weir_event_budget);
} event_budget SEC(".maps");

struct weir_scratch {
	struct weir_flow forward;
	struct weir_flow reply;
	struct weir_flow_key key;
	struct weir_fragment fragment;
	/* Of a handshake by cookie, as in weir_flow; while the flags of facts.cookie say so. */
	__u32 delta;
	__u32 isn;
	__be16 window;
};

/* Entries while they are put together, which are too long for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct weir_scratch);
} scratch SEC(".maps");

/* Flow and drop events for the daemon. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, WEIR_EVENT_BYTES);
} events SEC(".maps");

#define WEIR_MIRROR_BYTES (1 << 20)

/* What the other unit is to be told of (mirror.h). */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, WEIR_MIRROR_BYTES);
} mirror SEC(".maps");

/* What the other unit has told: written by the daemon through shared memory, with outcomes for it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, WEIR_MIRROR_BATCH);
	__type(key, __u32);
	__type(value, struct weir_mirrored);
} mirror_in SEC(".maps");

struct weir_mirror_work {
	struct weir_flow forward;
	struct weir_flow reply;
	struct weir_flow_key forward_key;
	struct weir_flow_key reply_key;
};

/* Entries while they are put together by weir_mirror_take, which packets may interrupt. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct weir_mirror_work);
} mirror_work SEC(".maps");

/* What the administrator can tune, read by every packet that needs it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct weir_settings);
} settings SEC(".maps");

/*
 * Virtual routers that this unit does not hold. Written by its speaker through shared memory, so
 * that who becomes master serves before the daemon knows.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct weir_elsewhere);
} elsewhere SEC(".maps");

/* Interfaces that packets may leave by, each under its own index. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, WEIR_MAX_PORTS);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

/* ---- Protection: see protect.h ---- */

#define WEIR_MAX_ACCESS (1 << 20)
#define WEIR_DEFAULT_SOURCES (1 << 17)

/* Access lists of all services, by set and prefix; the value is enum weir_access. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WEIR_MAX_ACCESS);
	__type(key, struct weir_access_key);
	__type(value, __u32);
} access SEC(".maps");

/* What protects each service, by its id. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WEIR_MAX_SERVICES);
	__type(key, __u32);
	__type(value, struct weir_protection);
} protection SEC(".maps");

/* Limits of each member, by its row. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WEIR_MAX_MEMBERS);
	__type(key, __u32);
	__type(value, struct weir_member_limits);
} member_limits SEC(".maps");

/* The buckets of services and members: when each is due, CLOCK_MONOTONIC. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WEIR_MAX_SERVICES);
	__type(key, __u32);
	__type(value, __u64);
} service_due SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WEIR_MAX_MEMBERS);
	__type(key, __u32);
	__type(value, __u64);
} member_due SEC(".maps");

/* Bucket and flows of each source of a service that limits them. Forged sources push each other out. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WEIR_DEFAULT_SOURCES);
	__type(key, struct weir_source_key);
	__type(value, struct weir_source);
} source_active SEC(".maps");

#endif
