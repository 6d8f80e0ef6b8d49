/** ClientHellos written for tests, and read by another way than the product's. */

export interface HelloSpec {
  readonly session?: Buffer;
  readonly suites?: Buffer;
  readonly compressions?: Buffer;
  /** Null: no block of extensions at all. */
  readonly extensions?: readonly Buffer[] | null;
}

const u16 = (value: number): Buffer => Buffer.of(value >> 8, value & 255);
export const with8 = (data: Buffer): Buffer => Buffer.concat([Buffer.of(data.length), data]);
export const with16 = (data: Buffer): Buffer => Buffer.concat([u16(data.length), data]);

export function extensionOf(type: number, data: Buffer): Buffer {
  return Buffer.concat([u16(type), with16(data)]);
}

export function serverName(name: string | Buffer, type = 0): Buffer {
  const entry = Buffer.concat([Buffer.of(type), with16(Buffer.from(name))]);
  return extensionOf(0, with16(entry));
}

export function protocols(...names: readonly string[]): Buffer {
  return extensionOf(16, with16(Buffer.concat(names.map((name) => with8(Buffer.from(name))))));
}

/** The handshake message. */
export function helloOf(spec: HelloSpec = {}): Buffer {
  const { extensions = [serverName('shop.example')] } = spec;
  const body = Buffer.concat([
    Buffer.of(3, 3),
    Buffer.alloc(32, 7),
    with8(spec.session ?? Buffer.alloc(32, 9)),
    with16(spec.suites ?? Buffer.of(0x13, 0x01, 0x13, 0x02)),
    with8(spec.compressions ?? Buffer.of(0)),
    extensions === null ? Buffer.alloc(0) : with16(Buffer.concat(extensions)),
  ]);
  return Buffer.concat([Buffer.of(1, 0), with16(body)]);
}

/** In records of at most `size` octets. */
export function recordsOf(message: Buffer, size = 16_384): Buffer {
  const out: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    out.push(Buffer.of(22, 3, 1), with16(message.subarray(at, at + size)));
  }
  return Buffer.concat(out);
}

/** Takes lengths off the front, or fails. */
class Cursor {
  constructor(private rest: Buffer) {}
  get empty(): boolean {
    return this.rest.length === 0;
  }
  take(size: number): Buffer {
    if (size > this.rest.length) throw new Error('too short');
    const out = this.rest.subarray(0, size);
    this.rest = this.rest.subarray(size);
    return out;
  }
  vector(lengthBytes: 1 | 2): Buffer {
    return this.take(this.take(lengthBytes).readUIntBE(0, lengthBytes));
  }
}

/** The names in hellos that are whole and well-formed; null for all others. */
export function plainlyRead(stream: Buffer): { name: string; alpn: string } | null {
  try {
    const records = new Cursor(stream);
    let message = Buffer.alloc(0);
    let total = Infinity;
    while (message.length < total) {
      const head = records.take(3);
      const data = records.vector(2);
      if (head[0] !== 22 || head[1] !== 3 || data.length === 0 || data.length > 16_384) return null;
      message = Buffer.concat([message, data]);
      if (message[0] !== 1) return null;
      if (message.length >= 4) total = 4 + message.readUIntBE(1, 3);
      if (total !== Infinity && total > 16_384) return null;
    }
    if (message.length > total) return null;
    return readBody(new Cursor(message.subarray(4)));
  } catch {
    return null;
  }
}

function readBody(body: Cursor): { name: string; alpn: string } | null {
  const version = body.take(2);
  body.take(32);
  const session = body.vector(1);
  const suites = body.vector(2);
  const compressions = body.vector(1);
  const good =
    version[0] === 3 &&
    session.length <= 32 &&
    suites.length >= 2 &&
    suites.length % 2 === 0 &&
    compressions.length > 0;
  if (!good) return null;
  const found = { name: '', alpn: '' };
  if (body.empty) return found;
  const block = new Cursor(body.vector(2));
  if (!body.empty) return null;
  const types = new Set<number>();
  while (!block.empty) {
    const type = block.take(2).readUInt16BE();
    const data = new Cursor(block.vector(2));
    if (types.has(type)) return null;
    types.add(type);
    if (type === 0) {
      const list = new Cursor(data.vector(2));
      if (list.take(1)[0] !== 0) return null;
      const name = list.vector(2).toString('latin1').toLowerCase();
      if (!list.empty || !data.empty || !/^[a-z0-9._~-]+$/.test(name)) return null;
      found.name = name.length > 1 ? name.replace(/\.$/, '') : name;
      if (found.name.length > 255) return null;
    } else if (type === 16) {
      const list = data.vector(2);
      const each = new Cursor(list);
      if (each.empty || !data.empty) return null;
      while (!each.empty) if (each.vector(1).length === 0) return null;
      found.alpn = list.toString('latin1');
    }
  }
  return found;
}
