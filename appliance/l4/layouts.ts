/**
 * The daemon's side of native/bpf/tables.h: the same structures, checked against the
 * BTF of the object at every load, and the constants that both sides use.
 */
import {
  Struct,
  address,
  address4,
  mac,
  macs,
  nested,
  port,
  u16,
  u32,
  u64,
  u8,
  vlan,
  type CompiledStruct,
  type StructValue,
} from './struct.js';

export const CHUNK_SLOTS = 8;
/** Rows of addresses that full nat speaks from: so many of each family. */
export const MAX_NAT_ADDRESSES = 64;
/** Places for MAC addresses of the unit, which the program finds by a product (own-mac-places.ts). */
export const OWN_MACS = 256;
/** Ports that an address of full nat has towards each member: every second one from 1,024 on. */
export const NAT_PORTS = (65_536 - 1024) / 2;

export const FORWARDING = { dsr: 1, nat: 2, tunnel: 3, 'full-nat': 4 } as const;
export const CHOICE = {
  'flow-hash': 0,
  'source-hash': 1,
  'source-destination-hash': 2,
  cursor: 3,
  random: 4,
  least: 5,
} as const;
export const SERVICE_FLAG = {
  track: 1,
  resetLost: 2,
  resetDown: 4,
  persist: 8,
  quic: 16,
  cookies: 32,
  cookiesAlways: 64,
} as const;
export const MEMBER_STATE = { free: 0, serving: 1, draining: 2, down: 3 } as const;
export const FLOW_DIRECTION = { forward: 0, reply: 1, answer: 2 } as const;
export const FLOW_FLAG = { established: 1, translated: 16, probe: 128 } as const;
/** `weir_flow.closing`: both sides ended the connection, or it was reset. */
export const CLOSED = 3;
/** In the hash of an answer to a probe: something came; the TCP flags of it are below. */
export const ANSWERED = 0x100;
export const EVENT_KIND = { flowNew: 1, flowMoved: 2, drop: 3 } as const;
export const PROTOCOL = { tcp: 6, udp: 17 } as const;

export function protocolName(number: number): string {
  return number === PROTOCOL.tcp ? 'tcp' : number === PROTOCOL.udp ? 'udp' : `protocol ${number}`;
}

export const serviceKey = new Struct('weir_service_key', { address, port, protocol: u8 });

export const service = new Struct('weir_service', {
  id: u32,
  first_chunk: u32,
  slots: u32,
  forwarding: u8,
  choice: u8,
  flags: u8,
  prefix: u8,
  persistence: u32,
  mss: u16,
  gue_port: port,
  protect: u8,
});

export const placement = new Struct('weir_placement', {
  first_chunk: u32,
  slots: u32,
  choice: u8,
  flags: u8,
  mss: u16,
});

export const member = new Struct('weir_member', {
  identity: u64,
  address,
  port,
  mac,
  source_mac: mac,
  state: u8,
  zero: u8,
  interface: u32,
  generation: u32,
  weight: u16,
  mtu: u16,
  vlan,
  reserved: u64,
});

export const flowKey = new Struct('weir_flow_key', {
  source: address,
  destination: address,
  source_port: port,
  destination_port: port,
  protocol: u8,
});

export const flow = new Struct('weir_flow', {
  member: u32,
  generation: u32,
  service: u32,
  port,
  direction: u8,
  closing: u8,
  address,
  client_mac: mac,
  unit_mac: mac,
  interface: u32,
  seen_ns: u64,
  client: address,
  client_port: port,
  flags: u8,
  forwarding: u8,
  hash: u32,
  vlan,
  nat: u8,
  mirror: u8,
  window: port,
  delta: u32,
  isn: u32,
});

export const replyKey = new Struct('weir_reply_key', { address, port, protocol: u8 });

export const counters = new Struct('weir_counters', {
  packets: u64,
  bytes: u64,
  flows: u64,
  reply_packets: u64,
  reply_bytes: u64,
  answers: u64,
  answer_ns: u64,
  resets: u64,
});

export const settings = new Struct('weir_settings', {
  events_per_second: u32,
  nat_services: u32,
  hash_seed: u32,
  tunnel_source4: address4,
  tunnel_mask4: address4,
  nat_addresses4: u32,
  nat_addresses6: u32,
  nat_half: u16,
  errors_per_second: u16,
  tunnel_source6: address,
  probing: u32,
  half_open: u32,
  mirror: u32,
  own_macs_known: u32,
  own_macs_factor: u64,
  own_macs: macs(OWN_MACS),
});

export const totals = new Struct('weir_totals', {
  passed: u64,
  echo_replies: u64,
  events_lost: u64,
  errors_sent: u64,
  taken_over: u64,
});

/** SYN cookies of a service, for each CPU. */
export const cookies = new Struct('weir_cookies', {
  second_ns: u64,
  until_ns: u64,
  opened: u64,
  confirmed: u64,
  sent: u64,
  accepted: u64,
  rejected: u64,
});

export const natAddress = new Struct('weir_nat_address', { address });

export const quicKey = new Struct('weir_quic_key', { service: u32, server: port });

export const sweep = new Struct('weir_sweep', {
  now_ns: u64,
  tcp_open_ns: u64,
  tcp_idle_ns: u64,
  tcp_closing_ns: u64,
  closed_ns: u64,
  udp_new_ns: u64,
  udp_idle_ns: u64,
  theirs_udp_ns: u64,
  theirs_pass: u32,
  theirs_next: u32,
  entries: u64,
  removed: u64,
  exceptions: u64,
  full_nat: u64,
  theirs: u64,
  untold: u64,
  keys: u32,
});

/** The other unit's flows: `weir_flow.mirror`. */
export const THEIRS = 0x80;
/** Passes have numbers of 1 to this. */
export const MIRROR_PASSES = 126;
export const NAT_NONE = 0xff;
export const MIRROR_KIND = { flow: 1, gone: 2, source: 3 } as const;
/** Records that the fast path takes at once. */
export const MIRROR_BATCH = 512;

export const persistence = new Struct('weir_persistence', {
  member: u32,
  generation: u32,
  seen_ns: u64,
  mirror: u8,
});

export const mirrored = new Struct('weir_mirrored', {
  flow: nested(flowKey, 8),
  identity: u64,
  address,
  port,
  kind: u8,
  flags: u8,
  closing: u8,
  forwarding: u8,
  pass: u8,
  nat: u8,
  age_ms: u32,
  hash: u32,
  delta: u32,
  isn: u32,
  interface: u32,
  vlan,
  client_mac: mac,
  unit_mac: mac,
  member: u32,
  local: u32,
});

export const mirrorWalk = new Struct('weir_mirror_walk', {
  now_ns: u64,
  before_ns: u64,
  pass: u32,
  most: u32,
  reset: u32,
  adopt: u32,
  told: u32,
  left: u32,
  adopted: u32,
  keys: u32,
});

export const mirrorTake = new Struct('weir_mirror_take', { now_ns: u64, count: u32, full: u32 });

export const event = new Struct('weir_event', {
  time_ns: u64,
  flow: nested(flowKey, 4),
  service: u32,
  member: u32,
  previous: u32,
  kind: u8,
  reason: u8,
});

/** Bits of `weir_service.protect`. */
export const PROTECT = { access: 1, service: 2, member: 4, source: 8 } as const;
export const ACCESS = { allow: 1, deny: 2 } as const;

export const accessKey = new Struct('weir_access_key', { bits: u32, set: u32, address });

export const rate = new Struct('weir_rate', { cost_ns: u64, burst_ns: u64 });

export const protection = new Struct('weir_protection', {
  service: nested(rate, 8),
  source: nested(rate, 8),
  access_set: u32,
  service_connections: u32,
  source_connections: u32,
  source_bits: u8,
  source_bits6: u8,
});

export const memberLimits = new Struct('weir_member_limits', {
  rate: nested(rate, 8),
  connections: u32,
});

export const sourceKey = new Struct('weir_source_key', { address, service: u32 });

export const source = new Struct('weir_source', { due_ns: u64, active: u32 });

export type FlowKey = StructValue<{
  source: typeof address;
  destination: typeof address;
  source_port: typeof port;
  destination_port: typeof port;
  protocol: typeof u8;
}>;

const ALL = [
  serviceKey,
  service,
  placement,
  member,
  flowKey,
  flow,
  replyKey,
  counters,
  settings,
  totals,
  event,
  natAddress,
  quicKey,
  sweep,
  persistence,
  mirrored,
  mirrorWalk,
  mirrorTake,
  accessKey,
  rate,
  protection,
  memberLimits,
  sourceKey,
  source,
  cookies,
];

/** Every difference between the daemon's and the object's idea of the tables, in words. */
export function layoutMismatches(struct: (name: string) => CompiledStruct | undefined): string[] {
  return ALL.flatMap((layout) => layout.mismatches(struct(layout.name)));
}
