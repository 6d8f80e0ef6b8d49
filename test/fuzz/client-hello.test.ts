/**
 * Mutated ClientHellos: the reader never throws, any pieces give the same verdict, and what it
 * accepts is what another reader accepts, with the same name.
 *
 * The seeds in test/fuzz/client-hello-seeds/ are streams of real clients and those that once
 * failed. WEIR_SEED repeats a run, WEIR_FUZZ_RUNS makes it longer.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ClientHello, helloProgress } from '../../appliance/l7/routing/client-hello.js';
import { projectRoot } from '../../appliance/paths.js';
import { helloOf, plainlyRead, protocols, recordsOf, serverName } from '../support/client-hello.js';
import { generator } from '../support/random.js';

const runs = Number(process.env['WEIR_FUZZ_RUNS'] ?? 30_000);
const seed = Number(process.env['WEIR_SEED'] ?? Date.now() % 2 ** 32);

const folder = join(projectRoot, 'test/fuzz/client-hello-seeds');
const seeds = readdirSync(folder).map((name) => ({
  name,
  bytes: readFileSync(join(folder, name)),
}));
const small = helloOf({ extensions: [serverName('a.example'), protocols('h2')] });
const streams = [...seeds.map(({ bytes }) => bytes), recordsOf(small), recordsOf(small, 9)];

const test = suite('fuzz client hello');

function read(stream: Buffer, piece: (left: number) => number): string {
  const hello = new ClientHello();
  let at = 0;
  let verdict: number = helloProgress.more;
  while (at < stream.length && verdict === helloProgress.more) {
    const size = piece(stream.length - at);
    verdict = hello.feed(stream, at, at + size);
    at += size;
  }
  if (verdict === helloProgress.more) return 'more';
  if (verdict === helloProgress.refused) return `refused ${hello.fault?.code ?? ''}`;
  const text = (start: number, end: number): string =>
    Buffer.from(hello.bytes.subarray(start, end)).toString('latin1');
  return JSON.stringify({
    name: text(hello.nameStart, hello.nameEnd),
    alpn: text(hello.alpnStart, hello.alpnEnd),
  });
}

function check(stream: Buffer, random: (below: number) => number, why: string): void {
  const whole = read(stream, (left) => left);
  assert.is(
    read(stream, (left) => 1 + random(Math.min(left, 40))),
    whole,
    `${why}: in pieces`,
  );
  const plain = plainlyRead(stream);
  const accepted = whole.startsWith('{') ? whole : null;
  assert.is(accepted, plain === null ? null : JSON.stringify(plain), `${why}: ${whole}`);
}

test('every seed is read as another reader reads it', () => {
  assert.ok(seeds.length >= 6, `${seeds.length} seeds in ${folder}`);
  const random = generator(1);
  for (const { name, bytes } of seeds) check(bytes, random, name);
});

test(`mutated hellos (WEIR_SEED=${seed})`, () => {
  const random = generator(seed);
  for (let run = 0; run < runs; run += 1) {
    let stream: Buffer = Buffer.from(streams[random(streams.length)] ?? recordsOf(small));
    for (let change = 1 + random(3); change > 0; change -= 1) {
      const at = random(stream.length);
      switch (random(5)) {
        case 0:
          stream[at] = random(256);
          break;
        case 1:
          stream[at] = (stream[at] ?? 0) + (random(2) === 0 ? 1 : 255);
          break;
        case 2:
          stream = Buffer.concat([stream.subarray(0, at), stream.subarray(at + 1 + random(4))]);
          break;
        case 3:
          stream = Buffer.concat([
            stream.subarray(0, at),
            Buffer.of(random(256)),
            stream.subarray(at),
          ]);
          break;
        default:
          // In other records.
          if (plainlyRead(stream) !== null && stream.readUInt16BE(3) + 5 === stream.length) {
            stream = recordsOf(stream.subarray(5), 1 + random(200));
          }
      }
      if (stream.length === 0) stream = Buffer.of(22);
    }
    check(stream, random, `run ${run}, WEIR_SEED=${seed}: ${stream.toString('hex').slice(0, 600)}`);
  }
});

test.run();
