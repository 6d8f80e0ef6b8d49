/**
 * The tables that most packet cases share: one service with two members for each combination of
 * family, protocol and forwarding, and the frames that belong to it.
 *
 * Invariant: the first member fills the whole lookup table, so a test knows where a new flow goes
 * without computing a hash; `spare` serves but stands in no slot until a test puts it there.
 */
import * as assert from 'uvu/assert';
import type { Datapath } from './datapath.js';
import {
  type Action,
  type DropReason,
  type Forwarding,
  type MemberSpec,
  type MemberState,
  type ServiceSpec,
  type Tuple,
} from './datapath.js';
import { checksumFaults, differences, frame, type FrameSpec, type Protocol } from './packets.js';

export type Family = 'ipv4' | 'ipv6';

export interface Combination {
  readonly family: Family;
  readonly protocol: Protocol;
  readonly forwarding: Forwarding;
  readonly name: string;
}

export const combinations: readonly Combination[] = (['ipv4', 'ipv6'] as const).flatMap((family) =>
  (['tcp', 'udp'] as const).flatMap((protocol) =>
    (['dsr', 'nat'] as const).map((forwarding) => ({
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
  },
  ipv6: {
    client: '2001:db8:9::7',
    service: 'fd00:0:0:a::53',
    other: 'fd00:0:0:a::99',
    home: 'fd00:0:0:b::11',
    spare: 'fd00:0:0:b::12',
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

  constructor(path: Datapath, combination: Combination) {
    this.path = path;
    this.combination = combination;
    this.addresses = addresses[combination.family];
    const { protocol, forwarding } = combination;
    const nat = forwarding === 'nat';
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
    path.service(this.service);
    path.member(this.home);
    path.member(this.spare);
    if (nat) {
      path.replySource(this.home.address, this.memberPort, protocol);
      path.replySource(this.spare.address, this.memberPort, protocol);
    }
  }

  /** From now on every new flow goes there. */
  send(row: number): void {
    this.path.table(this.service.id, new Array<number>(slots).fill(row));
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

  /** What the unit makes of a request on its way to the member. */
  delivered(request: FrameSpec, member: MemberSpec): FrameSpec {
    const moved: FrameSpec = {
      ...request,
      fromMac: member.sourceMac,
      toMac: member.mac,
      ttl: (request.ttl ?? 61) - 1,
    };
    if (this.combination.forwarding === 'dsr') return moved;
    return { ...moved, destination: member.address, destinationPort: member.port || 80 };
  }

  /** A member's answer to the flow's packets. */
  answer(member: MemberSpec, change: Partial<FrameSpec> = {}): FrameSpec {
    return {
      fromMac: member.mac,
      toMac: member.sourceMac,
      source: member.address,
      destination: this.addresses.client,
      protocol: this.combination.protocol,
      sourcePort: member.port || 80,
      destinationPort: this.clientPort,
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
    expectSent(this.path, frame(request), frame(this.delivered(request, member)), ingress);
  }

  /** The request must be dropped for this reason, and counted and told so. */
  expectDrop(reason: DropReason, bytes: Uint8Array = frame(this.request())): void {
    expectDrop(this.path, bytes, reason);
  }
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
  expected: Uint8Array,
  ingress?: number,
  verdict: Action = 'tx',
): void {
  const result = path.run(sent, ingress);
  expectVerdict(path, result.verdict, verdict);
  assert.equal(checksumFaults(result.data), [], 'checksums of the frame sent');
  assert.is(differences(result.data, expected), '', 'frame sent');
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
