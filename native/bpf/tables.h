/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The tables that the daemon and the XDP programs share. This header is the one
 * place where their layout is written down: appliance/l4/layouts.ts describes the
 * same structures and is checked against this object's BTF at every load, so a
 * difference is a start-up error and never a misread packet.
 *
 * Conventions. Addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d
 * (RFC 4291 §2.5.5.2). Ports are in network order. Everything else is in host
 * order. Padding is written out and always zero, because keys are compared as bytes.
 */
#ifndef WEIR_TABLES_H
#define WEIR_TABLES_H

#include <linux/types.h>

#define WEIR_MAX_SERVICES 4096
#define WEIR_MAX_MEMBERS 65536
#define WEIR_MAX_PORTS 64
/* Slots a lookup chunk holds: 16 × 4 bytes is one cache line. */
#define WEIR_CHUNK_SLOTS 16
/* Defaults of the two tables whose size the hardware profile sets at load. */
#define WEIR_DEFAULT_LOOKUP_CHUNKS (1 << 19)
#define WEIR_DEFAULT_FLOWS (1 << 20)

struct weir_address {
	__be32 word[4];
};

enum weir_address_flags {
	WEIR_ADDRESS_ECHO = 1, /* echo requests are answered in the fast path */
};

enum weir_forwarding {
	WEIR_FORWARDING_DSR = 1, /* rewrite the MAC addresses only */
	WEIR_FORWARDING_NAT = 2, /* rewrite the destination; replies come back through the unit */
};

struct weir_service_key {
	struct weir_address address;
	__be16 port;
	__u8 protocol; /* IPPROTO_TCP, IPPROTO_UDP */
	__u8 zero;
};

struct weir_service {
	__u32 id;          /* row in the service counters */
	__u32 first_chunk; /* where its pool's lookup table starts */
	__u32 slots;       /* size of that table, prime; 0 while no member can serve */
	__u8 forwarding;   /* enum weir_forwarding */
	__u8 protect;      /* enum weir_protect_flags: which protections are on */
	__u8 zero[2];
};

enum weir_member_state {
	WEIR_MEMBER_FREE = 0,     /* the row is not in use */
	WEIR_MEMBER_SERVING = 1,  /* takes new flows when it stands in a lookup table */
	WEIR_MEMBER_DRAINING = 2, /* keeps its flows, takes no new ones */
	WEIR_MEMBER_DOWN = 3,     /* takes nothing; its flows are balanced again */
};

struct weir_member {
	__u64 identity; /* hash of pool name, address and port: how a restarted daemon finds its rows */
	struct weir_address address;
	__be16 port; /* 0: the service's own port */
	__u8 mac[6];        /* of the member, or of the router towards it */
	__u8 source_mac[6]; /* of the unit's interface towards it */
	__u8 state;         /* enum weir_member_state */
	__u8 zero;
	__u32 interface;  /* index of the interface towards it */
	__u32 generation; /* grows when the row gets another owner; stale flows then no longer match */
};

/* A lookup table is a run of chunks; slot n holds the row of the member that hash n picks. */
struct weir_chunk {
	__u32 member[WEIR_CHUNK_SLOTS];
};

struct weir_flow_key {
	struct weir_address source;
	struct weir_address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 zero[3];
};

enum weir_flow_direction {
	WEIR_FLOW_FORWARD = 0, /* client to service */
	WEIR_FLOW_REPLY = 1,   /* member to client, nat only */
};

enum weir_flow_closing {
	WEIR_CLOSING_CLIENT = 1,
	WEIR_CLOSING_MEMBER = 2,
	WEIR_CLOSED = 3, /* both, or reset: its tuple is free for another service */
};

struct weir_flow {
	__u32 member;
	__u32 generation; /* of the member row when the flow began */
	__u32 service;    /* id of the service */
	__be16 port;      /* reply: the service's port to put back */
	__u8 direction;   /* enum weir_flow_direction */
	__u8 closing;     /* who has ended the TCP connection, enum weir_flow_closing */
	struct weir_address address; /* reply: the service's address to put back */
	__u8 client_mac[6];          /* reply: where the client's packets came from, so where answers go */
	__u8 unit_mac[6];            /* reply: the address of ours that they came to */
	__u32 interface;             /* reply: the interface that they came in on */
	__u64 seen_ns;               /* CLOCK_MONOTONIC_COARSE of a recent packet, to one second */
};

/* A member's own (address, port) as source of replies in nat forwarding. */
struct weir_reply_key {
	struct weir_address address;
	__be16 port;
	__u8 protocol;
	__u8 zero;
};

struct weir_counters {
	__u64 packets; /* client to member */
	__u64 bytes;
	__u64 flows; /* flows begun */
	__u64 reply_packets; /* member to client, where replies pass through the unit */
	__u64 reply_bytes;
};

/* Why a packet was dropped. The names, less their prefix, are what people see. */
enum weir_drop_reason {
	WEIR_DROP_NONE = 0,
	WEIR_DROP_MALFORMED = 1,   /* lengths or header fields that contradict each other */
	WEIR_DROP_FRAGMENT = 2,    /* a fragment for a service: not balanced yet */
	WEIR_DROP_TTL_EXCEEDED = 3,
	WEIR_DROP_NO_MEMBER = 4,   /* no member of the pool can serve */
	WEIR_DROP_NO_FLOW = 5,     /* a TCP reply (nat) whose flow is not known */
	WEIR_DROP_FLOW_CONFLICT = 6, /* two nat services would give one member the same tuple */
	WEIR_DROP_FLOW_TABLE = 7,  /* the flow table refused an entry */
	WEIR_DROP_REDIRECT = 8,    /* the way out is no interface of the fast path */
	WEIR_DROP_DENIED = 9,      /* the service's access lists refuse the source */
	WEIR_DROP_RATE_LIMIT = 10, /* flows begin too fast, of the service, the member or the source */
	WEIR_DROP_CONNECTION_LIMIT = 11, /* too many flows at one time */
	WEIR_DROP_REASONS = 12,
};

enum weir_event_kind {
	WEIR_EVENT_FLOW_NEW = 1,
	WEIR_EVENT_FLOW_MOVED = 2, /* its member went away; another took it */
	WEIR_EVENT_DROP = 3,
};

struct weir_event {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	struct weir_flow_key flow;
	__u32 service;
	__u32 member;
	__u32 previous; /* flow moved: the member that it left */
	__u8 kind;      /* enum weir_event_kind */
	__u8 reason;    /* enum weir_drop_reason */
	__u8 zero[2];
};

struct weir_settings {
	__u32 events_per_second; /* a CPU; further events are counted, not sent */
	__u32 nat_services;      /* 0 lets every packet for no service skip the reply look-up */
	__u32 hash_seed;         /* the same on both units of a pair */
	__u32 zero;
};

/* What the datapath did outside of any service, per CPU. */
struct weir_totals {
	__u64 passed;         /* handed to the kernel untouched */
	__u64 echo_replies;
	__u64 events_lost;    /* over the rate, or the ring was full */
	__u64 zero;
};

/* ---- Protection: see protect.h ---- */

/* In weir_service.protect: a service pays for what it asks for. */
enum weir_protect_flags {
	WEIR_PROTECT_ACCESS = 1,  /* access lists */
	WEIR_PROTECT_SERVICE = 2, /* limits of the service as a whole */
	WEIR_PROTECT_MEMBER = 4,  /* some member of its pool has limits */
	WEIR_PROTECT_SOURCE = 8,  /* limits of each source */
};

enum weir_access {
	WEIR_ACCESS_ALLOW = 1,
	WEIR_ACCESS_DENY = 2,
};

/*
 * An entry of an access list. All sets of lists share one trie: the set's number is the first 32
 * of the bits that are compared, so a look-up stays in its set.
 */
struct weir_access_key {
	__u32 bits; /* 32 for the set and up to 128 of the address */
	__u32 set;
	struct weir_address address;
};

/* How fast flows may begin: one each cost_ns, after as many at once as fit into burst_ns. */
struct weir_rate {
	__u64 cost_ns;  /* 0: no limit */
	__u64 burst_ns; /* (burst - 1) * cost_ns */
};

/* What protects a service, by the service's id. */
struct weir_protection {
	struct weir_rate service;
	struct weir_rate source;
	__u32 access_set;
	__u32 service_connections; /* most flows at one time; 0: no limit */
	__u32 source_connections;
	__u8 source_bits;  /* of an IPv4 source that count, 96 to 128: addresses are ::ffff:a.b.c.d */
	__u8 source_bits6; /* of an IPv6 source */
	__u8 zero[2];
};

/* Limits of a member, by its row. */
struct weir_member_limits {
	struct weir_rate rate;
	__u32 connections;
	__u32 zero;
};

struct weir_source_key {
	struct weir_address address; /* of the client, cut to the bits that count */
	__u32 service;               /* id */
};

struct weir_source {
	__u64 due_ns; /* its bucket, see protect.h */
	__u32 active; /* flows that it has now */
	__u32 zero;
};

#endif
