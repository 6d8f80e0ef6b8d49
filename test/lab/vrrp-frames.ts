/**
 * Captured frames of VRRP, ARP and neighbour discovery, field by field. Reads the files that
 * tcpdump writes (libpcap's format, Ethernet) and shares no code with what is tested.
 */
import { onesSum, pseudoHeader } from '../bpf/packets.js';

/** Takes a capture file piece by piece. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);
  #begun = false;

  /** `at`: milliseconds since 1970, by the kernel's stamp. */
  constructor(private readonly onFrame: (frame: Buffer, at: number) => void) {}

  push(bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    if (!this.#begun) {
      if (this.#rest.length < 24) return;
      this.#begun = true;
      this.#rest = this.#rest.subarray(24);
    }
    while (this.#rest.length >= 16) {
      const length = this.#rest.readUInt32LE(8);
      if (this.#rest.length < 16 + length) return;
      const at = this.#rest.readUInt32LE(0) * 1000 + this.#rest.readUInt32LE(4) / 1000;
      this.onFrame(Buffer.from(this.#rest.subarray(16, 16 + length)), at);
      this.#rest = this.#rest.subarray(16 + length);
    }
  }
}

export interface SeenVrrp {
  readonly kind: 'vrrp';
  readonly from: string;
  readonly source: string;
  readonly priority: number;
  /** Which sums hold over the message: `bare`, `pseudo-header`, `none`. */
  readonly sum: 'bare' | 'pseudo-header' | 'none';
  /** Everything else, which does not depend on who sends. */
  readonly fields: Readonly<Record<string, string | number>>;
}

export interface SeenClaim {
  readonly kind: 'claim';
  /** MAC address. */
  readonly from: string;
  /** In hexadecimal. */
  readonly address: string;
  readonly fields: Readonly<Record<string, string | number>>;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** What a frame is; null: neither an advertisement nor an announcement. */
export function seenFrame(frame: Buffer): SeenVrrp | SeenClaim | null {
  const from = hex(frame.subarray(6, 12));
  const ethernet = { destination: hex(frame.subarray(0, 6)), type: frame.readUInt16BE(12) };
  const packet = frame.subarray(14);
  if (ethernet.type === 0x0806) return seenArp(from, packet);
  if (ethernet.type === 0x0800 && packet.readUInt8(9) === 112) {
    const header = (packet.readUInt8(0) & 0x0f) * 4;
    const message = packet.subarray(header, packet.readUInt16BE(2));
    const [source, destination] = [packet.subarray(12, 16), packet.subarray(16, 20)];
    const fields = {
      ...ethernet,
      header,
      tos: packet.readUInt8(1),
      fragment: packet.readUInt16BE(6),
      hops: packet.readUInt8(8),
      group: hex(destination),
    };
    return seenMessage(from, fields, message, source, destination);
  }
  if (ethernet.type !== 0x86dd) return null;
  const [source, destination] = [packet.subarray(8, 24), packet.subarray(24, 40)];
  const body = packet.subarray(40, 40 + packet.readUInt16BE(4));
  const fields = {
    ...ethernet,
    trafficClass: (packet.readUInt16BE(0) >> 4) & 0xff,
    hops: packet.readUInt8(7),
    group: hex(destination),
  };
  const next = packet.readUInt8(6);
  if (next === 112) return seenMessage(from, fields, body, source, destination);
  if (next !== 58 || body.readUInt8(0) !== 136) return null;
  const target = body.subarray(8, 24);
  return {
    kind: 'claim',
    from,
    address: hex(target),
    fields: {
      ...fields,
      flags: body.readUInt8(4),
      fromTarget: source.equals(target) ? 1 : 0,
      option: hex(body.subarray(24, 26)),
      namesItself: hex(body.subarray(26, 32)) === from ? 1 : 0,
      sum: onesSum(pseudoHeader(source, destination, 58, body.length), body),
    },
  };
}

function seenArp(from: string, packet: Buffer): SeenClaim | null {
  const [sender, target] = [packet.subarray(14, 18), packet.subarray(24, 28)];
  if (!sender.equals(target)) return null;
  return {
    kind: 'claim',
    from,
    address: hex(sender),
    fields: {
      operation: packet.readUInt16BE(6),
      senderIsSource: hex(packet.subarray(8, 14)) === from ? 1 : 0,
    },
  };
}

function seenMessage(
  from: string,
  around: Readonly<Record<string, string | number>>,
  message: Buffer,
  source: Buffer,
  destination: Buffer,
): SeenVrrp {
  const pseudo = onesSum(pseudoHeader(source, destination, 112, message.length), message);
  const size = source.length;
  const count = message.readUInt8(3);
  return {
    kind: 'vrrp',
    from,
    source: hex(source),
    priority: message.readUInt8(2),
    sum: onesSum(message) === 0xffff ? 'bare' : pseudo === 0xffff ? 'pseudo-header' : 'none',
    fields: {
      ...around,
      length: message.length,
      versionAndType: message.readUInt8(0),
      vrid: message.readUInt8(1),
      count,
      interval: hex(message.subarray(4, 6)),
      addresses: hex(message.subarray(8, 8 + count * size)),
      tail: hex(message.subarray(8 + count * size)),
    },
  };
}
