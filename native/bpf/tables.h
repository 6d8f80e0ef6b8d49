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
#define WEIR_MAX_NAT_ADDRESSES 64
/* Slots a lookup chunk holds: 8 × 8 bytes is one cache line. */
#define WEIR_CHUNK_SLOTS 8
/* Cells of a line of the sketch of UDP flows: one cache line. */
#define WEIR_RECENT_CELLS 64
/* Lines of it: 2^18 × 64 cells, one byte each. */
#define WEIR_RECENT_LINES (1 << 18)
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
	WEIR_FORWARDING_TUNNEL = 3, /* the whole packet inside another one, to the member */
	WEIR_FORWARDING_FULL_NAT = 4, /* rewrite source and destination */
};

/* How the slot of a new flow is found. */
enum weir_choice {
	WEIR_CHOICE_FLOW_HASH = 0,   /* addresses, ports and protocol */
	WEIR_CHOICE_SOURCE_HASH = 1, /* the client's address */
	WEIR_CHOICE_PAIR_HASH = 2,   /* the client's and the service's address */
	WEIR_CHOICE_CURSOR = 3,      /* the next one */
	WEIR_CHOICE_RANDOM = 4,
	WEIR_CHOICE_LEAST = 5, /* each slot another member: the least (active flows + 1) / weight */
};

enum weir_service_flags {
	WEIR_SERVICE_TRACK = 1,      /* every flow has an entry, not only the exceptions */
	WEIR_SERVICE_RESET_LOST = 2, /* TCP whose member is gone is reset, not balanced again */
	WEIR_SERVICE_RESET_DOWN = 4, /* new TCP flows are reset while no member can serve */
	WEIR_SERVICE_PERSIST = 8,    /* new flows follow the last one of their source */
	WEIR_SERVICE_QUIC = 16,      /* connection ids name the member */
	WEIR_SERVICE_COOKIES = 32,   /* nat, TCP: a flood of SYNs is answered by cookies (cookie.h) */
	WEIR_SERVICE_COOKIES_ALWAYS = 64, /* and so is every other SYN */
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
	__u32 slots;       /* size of that table; 0 while no member can serve */
	__u8 forwarding;   /* enum weir_forwarding */
	__u8 choice;       /* enum weir_choice */
	__u8 flags;        /* enum weir_service_flags */
	__u8 prefix;       /* bits of a source that persistence looks at, of 128 */
	__u32 persistence; /* seconds that a source is remembered */
	__u16 mss;         /* largest segment that is let through SYN and SYN-ACK; 0: any */
	__be16 gue_port;   /* tunnel: UDP port of GUE; 0: IP in IP */
	__u8 protect;      /* enum weir_protect_flags: which protections are on */
	__u8 zero[3];
};

/* What sweeps and replies need of weir_service, by its id. */
struct weir_placement {
	__u32 first_chunk;
	__u32 slots;
	__u8 choice;
	__u8 flags;
	__u16 mss;
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
	__u16 weight;     /* of WEIR_CHOICE_LEAST */
	__u16 mtu;        /* longest IP packet towards it; 0: any */
	__be16 vlan[2];   /* tags towards it, the outer one first; 0: none */
	__u64 reserved;
};

/*
 * A slot names the member that a hash picks. Flows that began while it named another one are
 * not all known: those of tuples without an entry are the `previous` member's, as long as that
 * one can have them. So only flows that begin, or are met, on a slot with a previous member need
 * entries (control/ and l4/ in the daemon decide when there is one).
 */
struct weir_slot {
	__u32 member;
	__u32 previous; /* 0: none, and no flow of this slot has an entry */
};
/* In place of a previous member: there may be entries, and what has none is the slot's. */
#define WEIR_PREVIOUS_ENTRIES 0xffffffffU

/* A lookup table is a run of chunks. */
struct weir_chunk {
	struct weir_slot slot[WEIR_CHUNK_SLOTS];
};

/*
 * When UDP flows were last seen, by hash: epochs of 2^32 ns, 1 to 255, 0 for never. Two flows may
 * share a cell: the later one then counts as known.
 */
struct weir_recent {
	__u8 epoch[WEIR_RECENT_CELLS];
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
	WEIR_FLOW_ANSWER = 2,  /* member to the unit's own probe (probe.h) */
};

enum weir_flow_closing {
	WEIR_CLOSING_CLIENT = 1,
	WEIR_CLOSING_MEMBER = 2,
	WEIR_CLOSED = 3, /* both, or reset: its tuple is free for another service */
};

enum weir_flow_flags {
	WEIR_FLOW_ESTABLISHED = 1, /* TCP: its handshake is over; UDP: the member answered, or may have */
	WEIR_FLOW_COUNTED = 2,     /* it is one of its member's active flows */
	WEIR_FLOW_EXCEPTION = 4,   /* of a service that does not track all flows */
	WEIR_FLOW_PROBE = 128,     /* of the unit's own test of a member (probe.h) */
	WEIR_FLOW_PENDING = 8,     /* a cookie was answered, the member has not yet */
	WEIR_FLOW_TRANSLATED = 16, /* the member's sequence numbers differ from the client's by `delta` */
	WEIR_FLOW_REOPENED = 32,   /* closed, and a SYN with the number `isn` was answered by a cookie */
};

/*
 * In the outer id of a frame's tags: its type is the less usual one for so many tags, which is
 * 802.1ad before an IP packet and 802.1Q before another tag.
 */
#define WEIR_VLAN_OTHER 0x1000

/*
 * In weir_flow.mirror and weir_persistence.mirror. The other bits are a number of 1 to
 * WEIR_MIRROR_PASSES: of the pass (mirror.h) in which the other unit was told of a flow of ours, or
 * in which it told us of one of its; 0: not yet.
 */
enum weir_flow_mirror {
	WEIR_MIRROR_NOTED = 0x7f,  /* UDP: a walk has met it, the next one tells if it lives on */
	WEIR_MIRROR_THEIRS = 0x80, /* of the other unit: no packet of it has come here */
};
#define WEIR_MIRROR_PASSES 126
/* No row of nat_addresses. */
#define WEIR_NAT_NONE 0xff

struct weir_flow {
	__u32 member;
	__u32 generation; /* of the member row when the flow began */
	__u32 service;    /* id of the service */
	__be16 port;      /* reply: the service's port; forward, full nat: the unit's */
	__u8 direction;   /* enum weir_flow_direction */
	__u8 closing;     /* who has ended the TCP connection, enum weir_flow_closing */
	struct weir_address address; /* reply: the service's; forward, full nat: the unit's */
	__u8 client_mac[6];          /* reply: where the client's packets came from, so where answers go */
	__u8 unit_mac[6];            /* reply: the address of ours that they came to */
	__u32 interface;             /* reply: the interface that they came in on */
	__u64 seen_ns;               /* CLOCK_MONOTONIC_COARSE of a recent packet, to one second */
	struct weir_address client;  /* reply, full nat: to put back as the destination */
	__be16 client_port;
	__u8 flags;   /* enum weir_flow_flags */
	__u8 forwarding; /* enum weir_forwarding when it began */
	__u32 hash;   /* forward: of the choice, for the slot that it lies in */
	__be16 vlan[2]; /* reply: tags that the client's packets had, the outer one first, with its type */
	__u8 nat;     /* full nat: row of the unit's address; WEIR_NAT_NONE: the other unit's */
	__u8 mirror;  /* forward: enum weir_flow_mirror, and the pass in which the other unit was told */
	__be16 window; /* pending: the client's, for the handshake with the member */
	__u32 delta;  /* translated: what a sequence number of the member grows by; pending: the cookie */
	__u32 isn;    /* of a client that came with a cookie: its initial sequence number */
};

/* Fragments follow the first one of their packet (RFC 791 §3.2, RFC 8200 §4.5). */
struct weir_fragment_key {
	struct weir_address source;
	struct weir_address destination;
	__be32 identification;
	__u8 protocol;
	__u8 zero[3];
};

struct weir_fragment {
	__u64 seen_ns;
	__u32 member;
	__u32 generation;
	__u32 service;
	__u32 interface;
	struct weir_address source; /* what the addresses become */
	struct weir_address destination;
	__u8 to_mac[6];   /* both as in link_macs (link.h), here and in the tables above */
	__u8 from_mac[6];
	__be16 vlan[2];
	__u8 direction;  /* enum weir_flow_direction */
	__u8 forwarding; /* enum weir_forwarding */
	__be16 gue_port; /* as weir_service.gue_port */
	__u32 hash;      /* of the flow */
};

/* Which member the flows of a source go to, for a while. */
struct weir_persistence_key {
	struct weir_address address; /* masked */
	__u32 service;
};

struct weir_persistence {
	__u32 member;
	__u32 generation;
	__u64 seen_ns;
	__u8 mirror; /* as in weir_flow */
	__u8 zero[7];
};

enum weir_mirror_kind {
	WEIR_MIRROR_FLOW = 1,   /* there is this flow */
	WEIR_MIRROR_GONE = 2,   /* this flow, told of before, is over */
	WEIR_MIRROR_SOURCE = 3, /* persistence: flows of this source go to this member */
};

/* What became of a record of the other unit. The names, less their prefix, are what people see. */
enum weir_mirror_outcome {
	WEIR_MIRRORED_STORED = 0,
	WEIR_MIRRORED_REFRESHED = 1, /* it was there */
	WEIR_MIRRORED_REMOVED = 2,   /* the flow was over */
	WEIR_MIRRORED_OWN = 3,       /* this unit saw a later packet of the flow itself */
	WEIR_MIRRORED_SERVICE = 4,   /* no such service here, or it forwards in another way */
	WEIR_MIRRORED_MEMBER = 5,    /* no such member here */
	WEIR_MIRRORED_CONFLICT = 6,  /* the tuple of the replies is another flow's */
	WEIR_MIRRORED_FULL = 7,      /* no room in the table */
	WEIR_MIRRORED_MALFORMED = 8,
	WEIR_MIRRORED_OUTCOMES = 9,
};

/*
 * A flow in both directions, or a source, as units tell each other of it: without rows and ids of
 * either. What is only the sender's or only the receiver's is 0 on the way.
 */
struct weir_mirrored {
	struct weir_flow_key flow; /* source: the masked address, and the service as destination */
	__u64 identity;            /* of the member */
	struct weir_address address; /* full nat: the unit's … */
	__be16 port;                 /* … and its port */
	__u8 kind;       /* enum weir_mirror_kind */
	__u8 flags;      /* WEIR_FLOW_TRANSLATED */
	__u8 closing;
	__u8 forwarding;
	__u8 pass;
	__u8 nat;        /* receiver: row of the address */
	__u32 age_ms;    /* since its last packet */
	__u32 hash;
	__u32 delta;
	__u32 isn;
	__u32 interface; /* nat: where the client's packets come in; each unit its own number */
	__be16 vlan[2];  /* nat: with these tags, from … */
	__u8 client_mac[6]; /* … this address */
	__u8 unit_mac[6];   /* receiver: to this one of its own */
	__u32 member;    /* receiver: row */
	__u32 local;     /* sender: id of a source's service; receiver: enum weir_mirror_outcome */
	__u32 zero;
};
/* Records that the daemon hands over at once. */
#define WEIR_MIRROR_BATCH 512

/* What a walk for the other unit is told, and what it tells. */
struct weir_mirror_walk {
	__u64 now_ns;    /* in: CLOCK_MONOTONIC */
	__u64 before_ns; /* in: when the walk before this one began */
	__u32 pass;      /* in: tells of what was not told in this pass; 0: of nothing */
	__u32 most;      /* in: records */
	__u32 reset;     /* in: 1: nothing counts as told */
	__u32 adopt;     /* in: 1: flows of the other unit are this one's from now on */
	__u32 told;      /* out */
	__u32 left;      /* out: 1: there was more */
	__u32 adopted;   /* out */
	__u32 keys;      /* in: of this piece (struct weir_walk_keys); 0: all of persistence instead */
};

/*
 * A piece of a walk over the flow table: keys that the daemon has read from it. A program that goes
 * over a whole table by itself cannot be preempted by most kernels, for 20 ns a bucket.
 */
#define WEIR_WALK_KEYS 1024

struct weir_walk_keys {
	struct weir_flow_key key[WEIR_WALK_KEYS];
};

/* Rows of walk_keys: who walks. */
enum weir_walker {
	WEIR_WALKER_SWEEP = 0,
	WEIR_WALKER_MIRROR = 1,
	WEIR_WALKERS = 2,
};

/* Hands over the first `count` records of mirror_in. */
struct weir_mirror_take {
	__u64 now_ns;
	__u32 count;
	__u32 full; /* 1: there is little room left, which is for flows of this unit */
};

/* Server ids of QUIC connection ids. */
struct weir_quic_key {
	__u32 service;
	__be16 server;
	__u16 zero;
};

/* An address of the unit that full nat speaks from. */
struct weir_nat_address {
	struct weir_address address;
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
	__u64 answers;   /* handshakes that the member answered, where replies pass through the unit */
	__u64 answer_ns; /* how long they took, all together */
	__u64 resets;    /* connections that the member reset, where replies pass through the unit */
};

/* Why a packet was dropped. The names, less their prefix, are what people see. */
enum weir_drop_reason {
	WEIR_DROP_NONE = 0,
	WEIR_DROP_MALFORMED = 1,   /* lengths or header fields that contradict each other */
	WEIR_DROP_FRAGMENT = 2,    /* a fragment whose first one was not seen */
	WEIR_DROP_TTL_EXCEEDED = 3,
	WEIR_DROP_NO_MEMBER = 4,   /* no member of the pool can serve */
	WEIR_DROP_NO_FLOW = 5,     /* a TCP reply (nat) whose flow is not known */
	WEIR_DROP_FLOW_CONFLICT = 6, /* two nat services would give one member the same tuple */
	WEIR_DROP_FLOW_TABLE = 7,  /* the flow table is full */
	WEIR_DROP_REDIRECT = 8,    /* the way out is no interface of the fast path */
	WEIR_DROP_IP_CHECKSUM = 9, /* of the IPv4 header */
	WEIR_DROP_TCP_FLAGS = 10,  /* a combination that no TCP sends */
	WEIR_DROP_TOO_BIG = 11,    /* longer than the way to the member; its sender was told if it can be */
	WEIR_DROP_NAT_PORTS = 12,  /* full nat: no free port towards this member */
	WEIR_DROP_ICMP = 13,       /* an error that quotes no flow of ours */
	WEIR_DROP_HEADROOM = 14,   /* the driver left no room for what goes before the packet */
	WEIR_DROP_DENIED = 15,     /* the service's access lists refuse the source */
	WEIR_DROP_RATE_LIMIT = 16, /* flows begin too fast, of the service, the member or the source */
	WEIR_DROP_CONNECTION_LIMIT = 17, /* too many flows at one time */
	WEIR_DROP_COOKIE = 18,     /* no SYN cookie of ours, while SYNs are answered by cookies */
	WEIR_DROP_COOKIE_EARLY = 19, /* before the member has answered; the client sends it again */
	WEIR_DROP_REASONS = 20,
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

/* Places of own_macs. A MAC address is at the first byte of its product with the factor, alone. */
#define WEIR_OWN_MACS 256
/* 00:00:5e:00:01 and :02, the first five bytes of a virtual router's, read as a number. */
#define WEIR_ROUTER_MAC4 0x01005e0000ULL
#define WEIR_ROUTER_MAC6 0x02005e0000ULL

/* Virtual routers of one family that have a MAC address of their own. */
#define WEIR_ROUTERS 256

/* By id, those of IPv4 and then those of IPv6; 1: another unit has it. */
struct weir_elsewhere {
	__u8 router[2 * WEIR_ROUTERS];
};

struct weir_settings {
	__u32 events_per_second; /* a CPU; further events are counted, not sent */
	__u32 nat_services;      /* nat and full nat; 0 lets every packet for no service skip the reply look-up */
	__u32 hash_seed;         /* the same on both units of a pair */
	__be32 tunnel_source4;   /* IPv4 source of tunnels, to which the flow's hash is added … */
	__be32 tunnel_mask4;     /* … in these bits */
	__u32 nat_addresses4;    /* rows of nat_addresses with IPv4, from 0 on */
	__u32 nat_addresses6;    /* with IPv6, from WEIR_MAX_NAT_ADDRESSES on */
	__u16 nat_half;          /* which of two units this is: their ports are even or odd */
	__u16 errors_per_second; /* a CPU: ICMP errors and resets that the fast path sends */
	struct weir_address tunnel_source6; /* IPv6 source of tunnels; the hash is its last word */
	__u32 probing; /* 1 while a member is tested (probe.h) */
	__u32 half_open; /* a CPU, service and second: handshakes left open before SYNs get cookies */
	__u32 mirror;  /* the running pass (mirror.h); 0: nobody is told of flows */
	__u32 own_macs_known; /* 1: only frames for own_macs, and for virtual routers, are looked at */
	__u64 own_macs_factor;
	__u64 own_macs[WEIR_OWN_MACS]; /* 6 bytes in network order, then zeros; 0: none */
};

/* What the datapath did outside of any service, per CPU. */
struct weir_totals {
	__u64 passed;         /* handed to the kernel untouched */
	__u64 echo_replies;
	__u64 events_lost;    /* over the rate, or the ring was full */
	__u64 errors_sent;    /* ICMP errors and resets */
	__u64 taken_over;     /* flows of the other unit that a packet came for */
};

/* SYN cookies of a service, per CPU. */
struct weir_cookies {
	__u64 second_ns; /* when the running second began, CLOCK_MONOTONIC_COARSE */
	__u64 until_ns;  /* SYNs are answered by cookies until then */
	__u64 opened;    /* handshakes begun in the running second … */
	__u64 confirmed; /* … and those that their clients went on with */
	__u64 sent;      /* cookies, ever */
	__u64 accepted;
	__u64 rejected;
};

/* What a sweep of the flow table is told, and what it tells. */
struct weir_sweep {
	__u64 now_ns;       /* in: CLOCK_MONOTONIC */
	__u64 tcp_open_ns;  /* in: how long an entry stays without a packet: handshake not over, */
	__u64 tcp_idle_ns;  /* in: established, */
	__u64 tcp_closing_ns; /* in: one side has ended it, */
	__u64 closed_ns;    /* in: both have, or it was reset, */
	__u64 udp_new_ns;   /* in: UDP without an answer, */
	__u64 udp_idle_ns;  /* in: UDP */
	__u64 theirs_udp_ns; /* in: UDP of the other unit, which says when it is over, */
	__u32 theirs_pass;  /* in: of whose other flows those of this pass … */
	__u32 theirs_next;  /* … and of this one stay; 0: all do */
	__u64 entries;      /* out: that stay */
	__u64 removed;      /* out */
	__u64 exceptions;   /* out: entries of services that do not track all flows, that differ from their slot */
	__u64 full_nat;     /* out: ports in use */
	__u64 theirs;       /* out: flows of the other unit */
	__u64 untold;       /* out: ends of flows that the other unit could not be told of */
	__u32 keys;         /* in: of this piece (struct weir_walk_keys) */
	__u32 zero;
};

/* ---- Protection: see protect.h ---- */

/* In weir_service.protect: a service pays for what it asks for. */
enum weir_protect_flags {
	WEIR_PROTECT_ACCESS = 1,  /* access lists */
	WEIR_PROTECT_SERVICE = 2, /* limits of the service as a whole */
	WEIR_PROTECT_MEMBER = 4,  /* some member of its pool has limits */
	WEIR_PROTECT_SOURCE = 8,  /* limits of each source */
	WEIR_PROTECT_FLOWS = 14,  /* any of the limits */
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
