/**
 * A disk for QEMU that loses what a disk may lose when its power goes: writes that no flush has followed.
 * A process that is killed loses nothing that it wrote to a file, because the host's kernel has it; so a
 * QEMU that is killed is no power cut for its disk, whatever its cache mode. Here the disk is served to
 * QEMU over a Unix socket (Network Block Device, proto.md of NetworkBlockDevice/nbd), and what was
 * there before each write is kept until the next flush. `loseUnflushed` takes back some of those writes:
 * each whole, in part, or not at all, whatever came after it, sector by sector, as a volatile write cache
 * that writes in an order of its own.
 *
 * Invariants: what was written before a flush was answered is never lost; a sector is never a mixture.
 */
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';

/** What a disk writes out in one piece. */
export const SECTOR = 512;
/** A cache is small: when more than this waits, the oldest is written out without a flush. In octets. */
const CACHE_BYTES = 32 * 2 ** 20;

interface Write {
  readonly offset: number;
  /** What was there before it. */
  readonly before: Buffer;
}

export interface Lost {
  /** Writes that no flush had followed. */
  readonly writes: number;
  /** How many of their sectors, and how many of those are as before. */
  readonly sectors: number;
  readonly lost: number;
}

/** A file with a volatile cache before it. */
export class VolatileCache {
  readonly #file: number;
  readonly size: number;
  #unflushed: Write[] = [];
  #bytes = 0;
  #flushes = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'r+');
    this.size = fstatSync(this.#file).size;
  }

  get flushes(): number {
    return this.#flushes;
  }

  read(offset: number, length: number): Buffer {
    const out = Buffer.alloc(length);
    for (let at = 0; at < length;) {
      const got = readSync(this.#file, out, at, length - at, offset + at);
      if (got === 0) throw new Error(`the disk ends before ${offset + length}`);
      at += got;
    }
    return out;
  }

  write(offset: number, data: Buffer): void {
    this.#unflushed.push({ offset, before: this.read(offset, data.length) });
    this.#bytes += data.length;
    this.#put(offset, data);
    while (this.#bytes > CACHE_BYTES) this.#bytes -= this.#unflushed.shift()?.before.length ?? 0;
  }

  flush(): void {
    this.#flushes += 1;
    this.#unflushed = [];
    this.#bytes = 0;
  }

  /** The power goes. */
  loseUnflushed(random: (below: number) => number): Lost {
    const settled = new Set<number>();
    const writes = this.#unflushed.length;
    let lost = 0;
    // From the last one on: of a sector the latest version that was written out is there.
    for (const { offset, before } of this.#unflushed.reverse()) {
      const fate = random(3);
      for (let at = 0; at < before.length; at += SECTOR) {
        const place = offset + at;
        if (settled.has(place)) continue;
        const stays = fate === 0 || (fate === 1 && random(2) === 0);
        if (stays) settled.add(place);
        else {
          this.#put(place, before.subarray(at, at + SECTOR));
          lost += 1;
        }
      }
    }
    const sectors = Math.ceil(this.#bytes / SECTOR);
    this.#unflushed = [];
    this.#bytes = 0;
    return { writes, sectors, lost };
  }

  close(): void {
    closeSync(this.#file);
  }

  #put(offset: number, data: Buffer): void {
    for (let at = 0; at < data.length;)
      at += writeSync(this.#file, data, at, data.length - at, offset + at);
  }
}

const OPTION = { exportName: 1, abort: 2, info: 6, go: 7 } as const;
const REPLY = { ack: 1, info: 3, unsupported: 0x80000001 } as const;
const COMMAND = { read: 0, write: 1, disconnect: 2, flush: 3 } as const;
/** HAS_FLAGS and SEND_FLUSH. */
const FLAGS = 1 | 4;
const OPTION_MAGIC = Buffer.from('IHAVEOPT');
const [REQUEST_MAGIC, ANSWER_MAGIC] = [0x25609513, 0x67446698];
const OPTION_ANSWER_MAGIC = 0x3e889045565a9n;
const [EIO, EINVAL] = [5, 22];

/** Octets of a connection, asked for piece by piece. */
class Reader {
  #parts: Buffer[] = [];
  #have = 0;
  #wanted: { length: number; resolve: (piece: Buffer | null) => void } | null = null;
  #over = false;

  constructor(socket: Socket) {
    socket.on('data', (part) => {
      this.#parts.push(part);
      this.#have += part.length;
      this.#settle();
    });
    // QEMU is killed: what it did not get is what it did not get.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#over = true;
      this.#settle();
    });
  }

  /** Null: the connection ended before. */
  take(length: number): Promise<Buffer | null> {
    return new Promise((resolve) => {
      this.#wanted = { length, resolve };
      this.#settle();
    });
  }

  #settle(): void {
    const wanted = this.#wanted;
    if (wanted === null) return;
    if (this.#have < wanted.length) {
      if (!this.#over) return;
      this.#wanted = null;
      wanted.resolve(null);
      return;
    }
    const all = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts);
    const rest = all?.subarray(wanted.length) ?? Buffer.alloc(0);
    this.#parts = rest.length === 0 ? [] : [rest];
    this.#have = rest.length;
    this.#wanted = null;
    wanted.resolve(all?.subarray(0, wanted.length) ?? Buffer.alloc(0));
  }
}

function word(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value >>> 0);
  return out;
}

/** The size and what the disk can, as both ways to begin have it. */
function exported(size: number): Buffer {
  const out = Buffer.alloc(10);
  out.writeBigUInt64BE(BigInt(size));
  out.writeUInt16BE(FLAGS, 8);
  return out;
}

function optionAnswer(option: number, type: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(20);
  head.writeBigUInt64BE(OPTION_ANSWER_MAGIC);
  head.writeUInt32BE(option, 8);
  head.writeUInt32BE(type, 12);
  head.writeUInt32BE(data.length, 16);
  return Buffer.concat([head, data]);
}

export class LossyDisk {
  readonly cache: VolatileCache;
  /** For QEMU's `file=`; the format is raw. */
  readonly address: string;
  readonly #server: Server;
  readonly #served = new Set<Promise<void>>();
  #failure: Error | null = null;

  private constructor(path: string, socket: string) {
    this.cache = new VolatileCache(path);
    this.address = `nbd:unix:${socket}`;
    this.#server = createServer((peer) => {
      const served = this.#serve(peer)
        .catch((error: unknown) => {
          this.#failure = error instanceof Error ? error : new Error(String(error));
        })
        .finally(() => {
          peer.destroy();
          this.#served.delete(served);
        });
      this.#served.add(served);
    });
  }

  /** `path`: a raw file, of whole sectors, which is written to. */
  static open(path: string, socket: string): Promise<LossyDisk> {
    const disk = new LossyDisk(path, socket);
    return new Promise((resolve, reject) => {
      disk.#server.once('error', reject);
      disk.#server.listen(socket, () => {
        resolve(disk);
      });
    });
  }

  /** After QEMU has ended. What it had sent is written first; throws what went wrong in serving it. */
  async powerLost(random: (below: number) => number): Promise<Lost> {
    await Promise.all(this.#served);
    if (this.#failure !== null) throw this.#failure;
    return this.cache.loseUnflushed(random);
  }

  async close(): Promise<void> {
    await Promise.all(this.#served);
    await new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    this.cache.close();
  }

  async #serve(socket: Socket): Promise<void> {
    const reader = new Reader(socket);
    const begun = Buffer.concat([Buffer.from('NBDMAGIC'), OPTION_MAGIC, Buffer.from([0, 3])]);
    socket.write(begun);
    if ((await reader.take(4)) === null) return;
    if (!(await this.#agree(socket, reader))) return;
    while (await this.#answer(socket, reader));
  }

  /** Until the client has chosen the disk; false: it went. */
  async #agree(socket: Socket, reader: Reader): Promise<boolean> {
    for (;;) {
      const head = await reader.take(16);
      if (head === null) return false;
      const option = head.readUInt32BE(8);
      if ((await reader.take(head.readUInt32BE(12))) === null) return false;
      switch (option) {
        case OPTION.exportName:
          socket.write(exported(this.cache.size));
          return true;
        case OPTION.info:
        case OPTION.go: {
          const info = Buffer.concat([Buffer.from([0, 0]), exported(this.cache.size)]);
          socket.write(optionAnswer(option, REPLY.info, info));
          socket.write(optionAnswer(option, REPLY.ack));
          if (option === OPTION.go) return true;
          break;
        }
        case OPTION.abort:
          socket.write(optionAnswer(option, REPLY.ack));
          return false;
        default:
          socket.write(optionAnswer(option, REPLY.unsupported));
      }
    }
  }

  /** One request; false: there is none any more. */
  async #answer(socket: Socket, reader: Reader): Promise<boolean> {
    const head = await reader.take(28);
    if (head === null) return false;
    if (head.readUInt32BE(0) !== REQUEST_MAGIC) throw new Error('QEMU sent no request of NBD');
    const command = head.readUInt16BE(6);
    const offset = Number(head.readBigUInt64BE(16));
    const length = head.readUInt32BE(24);
    const answer = (error: number, data?: Buffer): void => {
      socket.write(Buffer.concat([word(ANSWER_MAGIC), word(error), head.subarray(8, 16)]));
      if (data !== undefined) socket.write(data);
    };
    const ragged = offset % SECTOR !== 0 || length % SECTOR !== 0;
    const outside = ragged || offset + length > this.cache.size;
    switch (command) {
      case COMMAND.read:
        if (outside) answer(EIO);
        else answer(0, this.cache.read(offset, length));
        return true;
      case COMMAND.write: {
        const data = await reader.take(length);
        // A write whose octets did not all come was none.
        if (data === null) return false;
        if (outside) answer(EIO);
        else {
          this.cache.write(offset, data);
          answer(0);
        }
        return true;
      }
      case COMMAND.flush:
        this.cache.flush();
        answer(0);
        return true;
      case COMMAND.disconnect:
        return false;
      default:
        answer(EINVAL);
        return true;
    }
  }
}
