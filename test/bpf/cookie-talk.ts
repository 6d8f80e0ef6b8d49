/**
 * One connection that begins with a SYN cookie, packet by packet as its two ends see it: what each
 * sends, and what the other must receive.
 *
 * Invariant: the numbers that are expected are computed from the frames that were seen.
 */
import * as assert from 'uvu/assert';
import { checksumFaults } from './checksums.js';
import type { Datapath } from './datapath.js';
import { clientMac, frame, unitMac, type FrameSpec } from './packets.js';
import { expectSent, type Scene } from './scene.js';

export const wrap32 = (value: number): number => value >>> 0;
export const mssOption = (size: number): number[] => [2, 4, size >> 8, size & 0xff];

export interface Segment {
  readonly sequence: number;
  readonly acknowledge: number;
  readonly flags: number;
  readonly window: number;
  readonly options: readonly number[];
}

export function segmentOf(bytes: Uint8Array): Segment {
  let data = Buffer.from(bytes);
  while (data.readUInt16BE(12) === 0x8100 || data.readUInt16BE(12) === 0x88a8) {
    data = Buffer.concat([data.subarray(0, 12), data.subarray(16)]);
  }
  const at = data.readUInt16BE(12) === 0x0800 ? 34 : 54;
  return {
    sequence: data.readUInt32BE(at + 4),
    acknowledge: data.readUInt32BE(at + 8),
    flags: data.readUInt8(at + 13),
    window: data.readUInt16BE(at + 14),
    options: [...data.subarray(at + 20, at + (data.readUInt8(at + 12) >> 4) * 4)],
  };
}

/** One connection as its two ends see it. */
export class Talk {
  readonly path: Datapath;
  readonly scene: Scene;
  readonly isn: number;
  readonly memberIsn: number;
  readonly link: Partial<FrameSpec>;
  cookie = 0;

  constructor(path: Datapath, scene: Scene, isn = 0x1000_0000, memberIsn = 0x7000_0000) {
    this.path = path;
    this.scene = scene;
    this.isn = isn;
    this.memberIsn = memberIsn;
    this.link = {};
  }

  client(change: Partial<FrameSpec> = {}): FrameSpec {
    return this.scene.request({
      flags: 'A',
      sequence: wrap32(this.isn + 1),
      acknowledge: wrap32(this.cookie + 1),
      payload: new Uint8Array(0),
      ...change,
    });
  }

  member(change: Partial<FrameSpec> = {}): FrameSpec {
    return this.scene.answer(this.scene.home, {
      flags: 'A',
      sequence: wrap32(this.memberIsn + 1),
      acknowledge: wrap32(this.isn + 1),
      payload: new Uint8Array(0),
      ...change,
    });
  }

  /** The SYN and its answer, from which the cookie is taken. */
  syn(change: Partial<FrameSpec> = {}, expectedMss?: number): void {
    const six = this.scene.combination.family === 'ipv6';
    const mss = expectedMss ?? (six ? 1440 : 1460);
    const syn = this.client({
      flags: 'S',
      sequence: this.isn,
      acknowledge: 0,
      optionBytes: [...mssOption(six ? 1440 : 1460), 1, 3, 3, 7],
      ...change,
    });
    const result = this.path.run(frame(syn));
    assert.is(result.verdict, 'tx', `SYN answered; drops ${JSON.stringify(this.path.drops())}`);
    assert.equal(checksumFaults(result.data), [], 'checksums of the SYN-ACK');
    this.cookie = segmentOf(result.data).sequence;
    const expected = frame({
      ...this.fresh(syn),
      fromMac: syn.toMac ?? unitMac,
      toMac: syn.fromMac ?? clientMac,
      source: syn.destination,
      destination: syn.source,
      sourcePort: syn.destinationPort,
      destinationPort: syn.sourcePort,
      flags: 'SA',
      sequence: this.cookie,
      acknowledge: wrap32(this.isn + 1),
      window: mss,
      optionBytes: mssOption(mss),
    });
    assert.equal(stripIp(result.data), stripIp(expected), 'SYN-ACK');
  }

  /** What the unit writes itself has no payload, and a hop count of its own. */
  fresh(spec: FrameSpec): FrameSpec {
    return { ...spec, ttl: 64, payload: new Uint8Array(0), optionBytes: [] };
  }

  /** The client's packet comes out at the member as the SYN. */
  expectSyn(from: FrameSpec = this.client(), mss?: number): void {
    const six = this.scene.combination.family === 'ipv6';
    const result = this.path.run(frame(from));
    assert.is(
      result.verdict,
      'tx',
      `SYN to the member; drops ${JSON.stringify(this.path.drops())}`,
    );
    assert.equal(checksumFaults(result.data), [], 'checksums of the SYN');
    const expected = this.scene.delivered(
      {
        ...this.fresh(from),
        flags: 'S',
        sequence: this.isn,
        acknowledge: 0,
        window: from.window ?? 0xfaf0,
        optionBytes: mssOption(mss ?? (six ? 1440 : 1460)),
      },
      this.scene.home,
    );
    assert.equal(stripIp(result.data), stripIp(expected), 'SYN to the member');
  }

  /** The member's SYN-ACK is answered to itself. */
  expectAccepted(window = 0xfaf0): void {
    const accept = this.member({
      flags: 'SA',
      sequence: this.memberIsn,
      optionBytes: mssOption(1400),
    });
    const result = this.path.run(frame(accept));
    assert.is(
      result.verdict,
      'tx',
      `ACK to the member; drops ${JSON.stringify(this.path.drops())}`,
    );
    assert.equal(checksumFaults(result.data), [], 'checksums of the ACK');
    const expected = frame({
      ...this.fresh(accept),
      fromMac: accept.toMac ?? unitMac,
      toMac: accept.fromMac ?? clientMac,
      source: accept.destination,
      destination: accept.source,
      sourcePort: accept.destinationPort,
      destinationPort: accept.sourcePort,
      flags: 'A',
      sequence: wrap32(this.isn + 1),
      acknowledge: wrap32(this.memberIsn + 1),
      window,
    });
    assert.equal(stripIp(result.data), stripIp(expected), 'ACK to the member');
  }

  open(): void {
    this.syn();
    this.expectSyn();
    this.expectAccepted();
  }

  get delta(): number {
    return wrap32(this.cookie - this.memberIsn);
  }

  expectForth(request: FrameSpec): void {
    const acknowledge = wrap32((request.acknowledge ?? 0) - this.delta);
    expectSent(this.path, frame(request), () =>
      this.scene.delivered({ ...request, acknowledge }, this.scene.home),
    );
  }

  expectBack(answer: FrameSpec): void {
    expectSent(
      this.path,
      frame(answer),
      frame({
        ...answer,
        fromMac: unitMac,
        toMac: clientMac,
        source: this.scene.addresses.service,
        sourcePort: 80,
        destination: this.scene.addresses.client,
        destinationPort: this.scene.clientPort,
        sequence: wrap32((answer.sequence ?? 0) + this.delta),
        ttl: (answer.ttl ?? 61) - 1,
      }),
    );
  }
}

/** A frame without what the unit is free to choose: identification, flow label, their checksum. */
function stripIp(bytes: Uint8Array): string {
  const data = Buffer.from(bytes);
  let at = 12;
  while (data.readUInt16BE(at) === 0x8100 || data.readUInt16BE(at) === 0x88a8) at += 4;
  const ip = at + 2;
  if (data.readUInt16BE(at) === 0x0800) {
    data.fill(0, ip + 4, ip + 6);
    data.fill(0, ip + 10, ip + 12);
  } else {
    data.fill(0, ip, ip + 4);
  }
  return data.toString('hex');
}
