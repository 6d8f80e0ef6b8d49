/**
 * Clients and members that behave at random, by a seed, and know what an answer must be: the target of
 * a request says what the member is to do with it and what the answer's body is.
 *
 *     /ID/SIZE/FRAMING/BEHAVIOUR/PLACE
 *
 * Invariant: whatever happens, a client that gets an answer of a member that is whole gets the one that
 * belongs to its request, and every byte of one that is not whole belongs to it, too.
 */
import type { Socket } from 'node:net';

export type Draw = (below: number) => number;

const framings = ['length', 'chunked', 'close'] as const;
const behaviours = [
  'answer',
  'answer',
  'answer',
  'answer',
  'slow',
  'interim',
  'early',
  'cut',
  'reset',
  'silent',
  'nonsense',
  'last',
] as const;

export interface Ask {
  readonly id: number;
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'SWITCH';
  /** Of the request's body; below 0: none. */
  readonly size: number;
  readonly chunked: boolean;
  readonly target: string;
}

/** Byte `i` of all that belongs to an id. */
const octetOf = (id: number, i: number): number => (id * 37 + i * 17 + (i >> 8) * 3) & 0xff;

export function bodyOf(id: number, size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  for (let i = 0; i < size; i += 1) bytes[i] = octetOf(id, i);
  return bytes;
}

/** Where bytes that should be a beginning of an id's body are others, or -1. */
function differsAt(bytes: Buffer, id: number): number {
  for (let i = 0; i < bytes.length; i += 1) if (bytes[i] !== octetOf(id, i)) return i;
  return -1;
}

const pick = <T>(draw: Draw, list: readonly T[]): T => {
  const one = list[draw(list.length)];
  if (one === undefined) throw new Error('an empty list');
  return one;
};

const sizeBy = (draw: Draw): number =>
  pick(draw, [0, 1, draw(100), draw(5000), 16_384, draw(70_000), draw(300_000)]);

export function askBy(draw: Draw, id: number): Ask {
  const method = pick(draw, ['GET', 'GET', 'HEAD', 'POST', 'PUT', 'SWITCH'] as const);
  const size = method === 'POST' || method === 'PUT' ? sizeBy(draw) : -1;
  const behaviour = pick(draw, behaviours);
  const answer = sizeBy(draw);
  const place = draw(answer + 200);
  const target = `/${id}/${answer}/${pick(draw, framings)}/${behaviour}/${place}`;
  return { id, method, size, chunked: draw(2) === 0, target };
}

function chunksOf(bytes: Buffer, size: number): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    const piece = bytes.subarray(at, at + size);
    parts.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'));
  }
  parts.push(Buffer.from('0\r\n\r\n'));
  return Buffer.concat(parts);
}

export function bytesOfAsk({ id, method, size, chunked, target }: Ask, draw: Draw): Buffer {
  const lines = [`${method === 'SWITCH' ? 'GET' : method} ${target} HTTP/1.1`, 'Host: a.example'];
  if (method === 'SWITCH') {
    lines.push('Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13');
    lines.push('Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==');
  }
  const body = size < 0 ? Buffer.alloc(0) : bodyOf(id, size);
  if (size >= 0) lines.push(chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${size}`);
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`);
  if (size < 0) return head;
  return Buffer.concat([head, chunked ? chunksOf(body, 1 + draw(9000)) : body]);
}

/** The bytes of a message as they come, taken from the front. */
export class Incoming {
  #bytes = Buffer.alloc(0);
  ended = false;
  cut = false;
  #wake: (() => void) | null = null;

  constructor(readonly socket: Socket) {
    socket.on('data', (piece: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, piece]);
      this.#tell();
    });
    socket.on('end', () => {
      this.ended = true;
      this.#tell();
    });
    socket.on('error', () => {
      this.cut = true;
      this.#tell();
    });
    socket.on('close', () => {
      this.ended = true;
      this.#tell();
    });
  }

  get length(): number {
    return this.#bytes.length;
  }

  #tell(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }

  /** Whether there are more bytes than `than`; false when none will come. */
  async more(than: number): Promise<boolean> {
    while (this.#bytes.length <= than) {
      if (this.ended || this.cut) return false;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    return true;
  }

  take(count: number): Buffer {
    const taken = this.#bytes.subarray(0, count);
    this.#bytes = this.#bytes.subarray(count);
    return taken;
  }

  /** Up to and with `end`, or null. */
  async line(end: string): Promise<string | null> {
    for (;;) {
      const at = this.#bytes.indexOf(end);
      if (at >= 0) return this.take(at + end.length).toString('latin1');
      if (!(await this.more(this.#bytes.length))) return null;
    }
  }

  /** A body; whole is false where it broke off. */
  async body(head: string): Promise<{ bytes: Buffer; whole: boolean }> {
    const parts: Buffer[] = [];
    const some = async (count: number): Promise<boolean> => {
      for (let left = count; left > 0;) {
        if (!(await this.more(0))) return false;
        const piece = this.take(Math.min(left, this.#bytes.length));
        parts.push(piece);
        left -= piece.length;
      }
      return true;
    };
    const done = (whole: boolean): { bytes: Buffer; whole: boolean } => ({
      bytes: Buffer.concat(parts),
      whole,
    });
    const length = /^content-length: *(\d+)\r$/im.exec(head)?.[1];
    if (length !== undefined) return done(await some(Number(length)));
    if (!/^transfer-encoding: *chunked\r$/im.test(head)) return done(true);
    for (;;) {
      const line = await this.line('\r\n');
      if (line === null) return done(false);
      const size = Number.parseInt(line, 16);
      if (!/^[0-9a-f]+\r\n$/.test(line)) throw new Error(`${JSON.stringify(line)} is no chunk`);
      if (size === 0) return done((await this.line('\r\n')) !== null);
      if (!(await some(size)) || (await this.line('\r\n')) === null) return done(false);
    }
  }
}

export interface Books {
  /** Times that members saw the head of a request that must not be sent twice, by id. */
  readonly posted: Map<number, number>;
  readonly wrong: string[];
  /** Answers of members that came whole; of Weir itself; those that broke off. */
  whole: number;
  own: number;
  broken: number;
}

/** A member: reads requests, does what they say. */
export async function serve(socket: Socket, draw: Draw, books: Books): Promise<void> {
  const incoming = new Incoming(socket);
  for (;;) {
    const head = await incoming.line('\r\n\r\n');
    if (head === null) break;
    const asked = /^([A-Z]+) \/(\d+)\/(\d+)\/([a-z]+)\/([a-z]+)\/(\d+) HTTP\/1\.1\r\n/.exec(head);
    if (asked === null) {
      books.wrong.push(`a member got ${JSON.stringify(head.slice(0, 80))}`);
      break;
    }
    const [, method = '', idText, sizeText, framing, behaviour, placeText] = asked;
    const id = Number(idText);
    if (method === 'POST') books.posted.set(id, (books.posted.get(id) ?? 0) + 1);
    if (behaviour === 'silent') return;
    if (behaviour !== 'early') {
      const { bytes, whole } = await incoming.body(head);
      const at = differsAt(bytes, id);
      if (at >= 0) books.wrong.push(`the body of request ${id} is another from ${at} on`);
      if (!whole) break;
    }
    if (/^upgrade: websocket\r$/im.test(head) && behaviour === 'answer') {
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
      );
      while (await incoming.more(0)) socket.write(incoming.take(incoming.length));
      break;
    }
    const body = bodyOf(id, Number(sizeText));
    const lines = ['HTTP/1.1 200 OK', `X-Id: ${id}`];
    if (framing === 'length') lines.push(`Content-Length: ${body.length}`);
    if (framing === 'chunked') lines.push('Transfer-Encoding: chunked');
    if (behaviour === 'last') lines.push('Connection: close');
    const text = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`);
    let all = text;
    if (method !== 'HEAD') {
      all = Buffer.concat([text, framing === 'chunked' ? chunksOf(body, 1 + draw(20_000)) : body]);
    }
    if (behaviour === 'nonsense') all = Buffer.from('HTTP/1.1 2OO OK\r\n\r\n');
    if (behaviour === 'interim') {
      socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(1 + draw(20)));
    }
    if (behaviour === 'cut' || behaviour === 'reset') {
      socket.write(all.subarray(0, Number(placeText)));
      if (behaviour === 'cut') break;
      socket.resetAndDestroy();
      return;
    }
    await inPieces(socket, all, behaviour === 'slow' ? draw : null);
    if (behaviour === 'last' || behaviour === 'early') break;
    if (framing === 'close' && method !== 'HEAD') break;
  }
  socket.end();
}

/** Writes all, by a `draw` in pieces with pauses between them. */
export async function inPieces(socket: Socket, all: Buffer, draw: Draw | null): Promise<void> {
  for (let at = 0; at < all.length && !socket.destroyed;) {
    const size = draw === null ? all.length : 1 + draw(draw(2) === 0 ? 40 : 60_000);
    socket.write(all.subarray(at, at + size));
    at += size;
    for (let pause = draw === null ? 0 : draw(4); pause > 0; pause -= 1) {
      await new Promise(setImmediate);
    }
  }
}

/** A client's connection: some exchanges, one after the other or sent ahead, and then an end of its own. */
export async function converse(
  socket: Socket,
  draw: Draw,
  first: number,
  books: Books,
): Promise<void> {
  const incoming = new Incoming(socket);
  const ahead = draw(3) === 0;
  const asks = Array.from({ length: 1 + draw(6) }, (_, i): Ask => {
    const ask = askBy(draw, first + i);
    // What is sent ahead of a switch would go into the tunnel.
    return ahead && ask.method === 'SWITCH' ? { ...ask, method: 'GET' } : ask;
  });
  const ending = pick(draw, ['end', 'end', 'half', 'reset', 'leave'] as const);
  const slowly = draw(3) === 0 ? draw : null;
  const lazy = draw(4) === 0;
  if (lazy) {
    socket.pause();
    setTimeout(() => socket.resume(), draw(60));
  }
  const sending = (async () => {
    if (!ahead) return;
    for (const ask of asks) await inPieces(socket, bytesOfAsk(ask, draw), slowly);
    if (ending === 'half') socket.end();
  })();
  for (const [index, ask] of asks.entries()) {
    const last = index === asks.length - 1;
    if (!ahead) {
      const bytes = bytesOfAsk(ask, draw);
      const leaves = last && (ending === 'reset' || ending === 'leave') && draw(2) === 0;
      const sent = inPieces(socket, leaves ? bytes.subarray(0, draw(bytes.length)) : bytes, slowly);
      if (leaves) {
        await sent;
        break;
      }
      if (last && ending === 'half') void sent.then(() => socket.end());
    }
    if (!(await hear(incoming, ask, draw, books))) break;
  }
  if (ending === 'reset') socket.resetAndDestroy();
  else if (ending === 'leave') socket.destroy();
  else socket.end();
  await sending;
  socket.resume();
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
}

/** One answer, of which every byte must be right. Whether another may follow. */
async function hear(incoming: Incoming, ask: Ask, draw: Draw, books: Books): Promise<boolean> {
  for (;;) {
    const head = await incoming.line('\r\n\r\n');
    if (head === null) {
      books.broken += 1;
      return false;
    }
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1] ?? 0);
    if (status === 0) books.wrong.push(`${ask.target} got ${JSON.stringify(head.slice(0, 80))}`);
    if (status === 101) return tunnel(incoming, ask, draw, books);
    if (status < 200) continue;
    const id = /^x-id: *(\d+)\r$/im.exec(head)?.[1];
    if (id === undefined && status < 400) books.wrong.push(`${ask.target}: whose is ${head}`);
    if (id !== undefined && Number(id) !== ask.id) {
      books.wrong.push(`${ask.method} ${ask.target} got the answer to ${id}`);
    }
    const read =
      ask.method === 'HEAD' ? { bytes: Buffer.alloc(0), whole: true } : await incoming.body(head);
    if (id === undefined) {
      if (read.whole) books.own += 1;
    } else {
      const at = differsAt(read.bytes, ask.id);
      if (at >= 0) books.wrong.push(`${ask.target}: the answer is another from ${at} on`);
      const size = ask.method === 'HEAD' ? 0 : Number(ask.target.split('/')[2]);
      if (read.whole && read.bytes.length !== size && !endsEarly(ask)) {
        books.wrong.push(`${ask.target}: ${read.bytes.length} bytes look whole`);
      }
      if (read.whole) books.whole += 1;
    }
    if (!read.whole) books.broken += 1;
    return read.whole && !/^connection: close\r$/im.test(head);
  }
}

/** Where only the end of the member's connection ends the body, a cut is an end. */
function endsEarly({ target }: Ask): boolean {
  return /\/close\/(cut|reset)\//.test(target);
}

async function tunnel(incoming: Incoming, ask: Ask, draw: Draw, books: Books): Promise<boolean> {
  const bytes = bodyOf(ask.id, draw(40_000));
  await inPieces(incoming.socket, bytes, draw);
  let got = Buffer.alloc(0);
  while (got.length < bytes.length && (await incoming.more(0))) {
    got = Buffer.concat([got, incoming.take(incoming.length)]);
  }
  const at = differsAt(got, ask.id);
  if (at >= 0) books.wrong.push(`the tunnel of ${ask.id} has another byte at ${at}`);
  if (got.length === bytes.length) books.whole += 1;
  else books.broken += 1;
  return false;
}
