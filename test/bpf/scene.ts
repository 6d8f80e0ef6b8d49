/**
 * The tables that most packet cases share: one service with two members for each combination of
 * family, protocol and forwarding, and the frames that belong to it.
 *
 * Invariant: the first member fills the whole lookup table, so a test knows where a new flow goes
 * without computing a hash; `spare` serves but stands in no slot until a test puts it there.
 */
import * as assert from 'uvu/assert';
import { hashFlow } from '../../appliance/balance/flow-hash.js';
import type { Datapath } from './datapath.js';
import {
  previousEntries,
  seed,
  tunnelSource,
  type Action,
  type DropReason,
  type Forwarding,
  type MemberSpec,
  type MemberState,
  type ServiceSpec,
  type Tuple,
} from './datapath.js';
import { checksumFaults } from './checksums.js';
import {
  clientMac,
  differences,
  encapsulate,
  frame,
  mappedBytes,
  unitMac,
  type FrameSpec,
  type LinkSpec,
  type Protocol,
  type TunnelSpec,
} from './packets.js';

export type Family = 'ipv4' | 'ipv6';

export interface Combination {
  readonly family: Family;
  readonly protocol: Protocol;
  readonly forwarding: Forwarding;
  readonly name: string;
}

export const combinations: readonly Combination[] = (['ipv4', 'ipv6'] as const).flatMap((family) =>
  (['tcp', 'udp'] as const).flatMap((protocol) =>
    (['dsr', 'tunnel', 'nat', 'full-nat'] as const).map((forwarding) => ({
      family,
      protocol,
      forwarding,
      name: `${forwarding} ${protocol} ${family}`,
    })),
  ),
);

export const slots = 7;

const addresses = {
  ipv4: {
    client: '198.51.100.7',
    service: '10.0.0.53',
    other: '10.0.0.99',
    home: '10.0.1.11',
    spare: '10.0.1.12',
    nat: '10.0.0.200',
  },
  ipv6: {
    client: '2001:db8:9::7',
    service: 'fd00:0:0:a::53',
    other: 'fd00:0:0:a::99',
    home: 'fd00:0:0:b::11',
    spare: 'fd00:0:0:b::12',
    nat: 'fd00:0:0:a::200',
  },
} as const;

export class Scene {
  readonly path: Datapath;
  readonly combination: Combination;
  readonly addresses: (typeof addresses)[Family];
  readonly service: ServiceSpec;
  readonly home: MemberSpec;
  readonly spare: MemberSpec;
  readonly clientPort = 40_000;
  /** Port on the members: their own for nat, the service's for dsr. */
  readonly memberPort: number;
  /** Whether every flow has an entry. */
  readonly tracked: boolean;
  /** What the slots named before they were changed for the first time. */
  #current = 1;
  #contested = false;

  constructor(path: Datapath, combination: Combination) {
    this.path = path;
    this.combination = combination;
    this.addresses = addresses[combination.family];
    const { protocol, forwarding } = combination;
    const nat = forwarding === 'nat' || forwarding === 'full-nat';
    this.tracked = nat;
    this.memberPort = nat ? 9000 : 80;
    this.service = {
      id: 3,
      address: this.addresses.service,
      port: 80,
      protocol,
      forwarding,
      table: new Array<number>(slots).fill(1),
    };
    this.home = {
      row: 1,
      address: this.addresses.home,
      port: nat ? this.memberPort : 0,
      mac: '02:00:00:00:01:11',
      sourceMac: '02:00:00:00:00:02',
    };
    this.spare = {
      row: 2,
      address: this.addresses.spare,
      port: nat ? this.memberPort : 0,
      mac: '02:00:00:00:01:12',
      sourceMac: '02:00:00:00:00:02',
    };
    path.reset();
    path.settings({ errorsPerSecond: 0, natAddresses: [this.addresses.nat] });
    path.service(this.service);
    path.member(this.home);
    path.member(this.spare);
    if (nat) {
      path.replySource(this.home.address, this.memberPort, protocol);
      path.replySource(this.spare.address, this.memberPort, protocol);
    }
  }

  /** From now on every new flow goes there; the former member is named as the daemon does. */
  send(row: number): void {
    if (!this.#contested && this.#current !== row) {
      this.path.previous(this.service.id, slots, this.#current);
      this.#contested = true;
    }
    this.path.table(this.service.id, new Array<number>(slots).fill(row));
    this.#current = row;
  }

  /** The daemon forgets the former member: only entries tell of the past. */
  settle(): void {
    this.path.previous(this.service.id, slots, previousEntries);
  }

  set(
    member: MemberSpec,
    change: { state?: MemberState; generation?: number; interface?: number },
  ): void {
    this.path.member({ ...member, ...change });
  }

  /** A client's packet; the flow is the same unless `change` says otherwise. */
  request(change: Partial<FrameSpec> = {}): FrameSpec {
    return {
      source: this.addresses.client,
      destination: this.addresses.service,
      protocol: this.combination.protocol,
      sourcePort: this.clientPort,
      destinationPort: 80,
      ...change,
    };
  }

  /** What the unit makes of a request on its way to the member, for a flow that has begun. */
  delivered(request: FrameSpec, member: MemberSpec): Buffer {
    const moved = this.moved(request, member);
    if (this.combination.forwarding === 'tunnel') return this.tunnelled(moved, member);
    return frame(moved);
  }

  /** The same without the tunnel around it. */
  moved(request: FrameSpec, member: MemberSpec): FrameSpec {
    const { forwarding } = this.combination;
    const to = this.natted(request, member);
    if (forwarding === 'nat') return to;
    if (forwarding === 'full-nat') {
      return { ...to, source: this.addresses.nat, sourcePort: this.natPort(request) };
    }
    const { destination, destinationPort } = request;
    return { ...to, destination, destinationPort };
  }

  /** What the unit makes of a member's answer on its way to the client. */
  returned(answer: FrameSpec): FrameSpec {
    return {
      ...answer,
      fromMac: unitMac,
      toMac: clientMac,
      source: this.addresses.service,
      sourcePort: 80,
      destination: this.addresses.client,
      destinationPort: this.clientPort,
      ttl: (answer.ttl ?? 61) - 1,
    };
  }

  /** A request with the destination rewritten. */
  natted(request: FrameSpec, member: MemberSpec): FrameSpec {
    return {
      ...request,
      fromMac: member.sourceMac,
      toMac: member.mac,
      vlan: member.vlan ?? [],
      ttl: (request.ttl ?? 61) - 1,
      destination: member.address,
      destinationPort: member.port || 80,
    };
  }

  /** The port that full nat gave to a flow. */
  natPort(request: FrameSpec = this.request()): number {
    const entry = this.path.flow(request);
    if (entry === null) throw new Error('the flow has no entry, so no port');
    return entry.port;
  }

  /** A packet inside a tunnel to the member. */
  tunnelled(inner: FrameSpec, member: MemberSpec, service: ServiceSpec = this.service): Buffer {
    const bytes = frame({ ...inner, vlan: [] });
    const padding = inner.padding ?? 0;
    const packet = bytes.subarray(14, bytes.length - padding);
    const outer = tunnelOuter(inner, member, service.guePort ?? 0);
    const link = { toMac: member.mac, fromMac: member.sourceMac, vlan: member.vlan ?? [] };
    return Buffer.concat([encapsulate(packet, { ...outer, ...link }), Buffer.alloc(padding)]);
  }

  /** A member's answer to the flow's packets. */
  answer(member: MemberSpec, change: Partial<FrameSpec> = {}): FrameSpec {
    return {
      fromMac: member.mac,
      toMac: member.sourceMac,
      source: member.address,
      destination: this.#full ? this.addresses.nat : this.addresses.client,
      protocol: this.combination.protocol,
      sourcePort: member.port || 80,
      destinationPort: this.#full ? this.natPort() : this.clientPort,
      ...change,
    };
  }

  get tuple(): Tuple {
    return this.request();
  }

  replyTuple(member: MemberSpec): Tuple {
    return this.answer(member);
  }

  /** The request must come out at this member, every byte as expected. */
  expectAt(member: MemberSpec, request: FrameSpec = this.request(), ingress?: number): void {
    expectSent(this.path, frame(request), () => this.delivered(request, member), ingress);
  }

  get #full(): boolean {
    return this.combination.forwarding === 'full-nat';
  }

  /** The request must be dropped for this reason, and counted and told so. */
  expectDrop(reason: DropReason, bytes: Uint8Array = frame(this.request())): void {
    expectDrop(this.path, bytes, reason);
  }
}

/** The outer addresses, and GUE's ports, that a flow's packets get. */
export function tunnelOuter(
  inner: FrameSpec,
  member: MemberSpec,
  gue: number,
): Omit<TunnelSpec, keyof LinkSpec> {
  const hash = hashFlow(
    {
      source: mappedBytes(inner.source),
      destination: mappedBytes(inner.destination),
      sourcePort: inner.sourcePort,
      destinationPort: inner.destinationPort,
      protocol: inner.protocol === 'tcp' ? 6 : 17,
    },
    seed,
  );
  // The hash as the program stores it: little endian.
  const bytes = new Uint8Array(Uint32Array.of(hash).buffer);
  const source = member.address.includes(':')
    ? `${tunnelSource.ipv6}${Buffer.from(bytes)
        .toString('hex')
        .replace(/^(.{4})/, '$1:')}`
    : `198.18.${bytes[2] ?? 0}.${bytes[3] ?? 0}`;
  const sourcePort = 0xc000 | ((hash >>> 16) & 0x3fff);
  return {
    source,
    destination: member.address,
    ...(gue === 0 ? {} : { gue: { sourcePort, port: gue } }),
  };
}

function expectVerdict(path: Datapath, seen: Action, expected: Action): void {
  assert.is(
    seen,
    expected,
    `verdict ${seen}, expected ${expected}; drops so far: ${JSON.stringify(path.drops())}`,
  );
}

export function expectSent(
  path: Datapath,
  sent: Uint8Array,
  expected: Uint8Array | (() => Uint8Array),
  ingress?: number,
  verdict: Action = 'tx',
): void {
  const result = path.run(sent, ingress);
  expectVerdict(path, result.verdict, verdict);
  assert.equal(checksumFaults(result.data), [], 'checksums of the frame sent');
  const wanted = typeof expected === 'function' ? expected() : expected;
  assert.is(differences(result.data, wanted), '', 'frame sent');
}

export function expectDrop(path: Datapath, sent: Uint8Array, reason: DropReason): void {
  path.events();
  const before = path.drops()[reason] ?? 0;
  const result = path.run(sent);
  expectVerdict(path, result.verdict, 'drop');
  assert.is((path.drops()[reason] ?? 0) - before, 1, `drops counted as ${reason}`);
  const told = path.events().filter((event) => event.kind === 'drop');
  assert.equal(
    told.map((event) => event.reason),
    [reason],
    'events of the drop',
  );
}

/** The frame must reach the kernel with every byte as it came. */
export function expectPass(path: Datapath, sent: Uint8Array): void {
  const before = path.totals().passed;
  const result = path.run(sent);
  expectVerdict(path, result.verdict, 'pass');
  assert.is(differences(result.data, sent), '', 'frame passed');
  assert.is(path.totals().passed - before, 1, 'packets counted as passed');
}
