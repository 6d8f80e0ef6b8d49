/**
 * Mutated HTTP/1.1 messages: the codec never throws, any pieces give the same verdict, and
 * whatever head is accepted goes on as one that is accepted again, with the same framing.
 *
 * The seeds are the corpus and test/fuzz/http1-seeds/ (`.request` and `.response`), where
 * every message that once failed stays. WEIR_SEED repeats a run, WEIR_FUZZ_RUNS makes it longer.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { progress } from '../../appliance/l7/http1/faults.js';
import { defaultLimits } from '../../appliance/l7/http1/limits.js';
import { peerOf } from '../../appliance/l7/http1/peer.js';
import { ProxyHeader } from '../../appliance/l7/http1/proxy-protocol.js';
import { RequestHead } from '../../appliance/l7/http1/request-head.js';
import { ResponseHead } from '../../appliance/l7/http1/response-head.js';
import {
  defaultRequestRules,
  RequestPlan,
  writeRequest,
} from '../../appliance/l7/http1/rewrite-request.js';
import { ResponsePlan, writeResponse } from '../../appliance/l7/http1/rewrite-response.js';
import { Writer } from '../../appliance/l7/http1/writer.js';
import { projectRoot } from '../../appliance/paths.js';
import { corpus } from '../support/http1-corpus.js';
import { judge, type Situation } from '../support/http1-judge.js';
import { generator } from '../support/random.js';

const runs = Number(process.env['WEIR_FUZZ_RUNS'] ?? 20_000);
const seed = Number(process.env['WEIR_SEED'] ?? Date.now() % 2 ** 32);

interface Seed {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly situation: Situation;
}

const folder = join(projectRoot, 'test/fuzz/http1-seeds');
const plain = { to: 'GET', upgrade: 'none', tunnels: false } as const;
const seeds: readonly Seed[] = [
  ...corpus()
    .filter(({ bytes }) => bytes.length < 1000)
    .map((one) => ({ name: one.id, bytes: one.bytes, situation: one })),
  ...readdirSync(folder).map((file): Seed => {
    const side = file.endsWith('.response') ? 'response' : 'request';
    const bytes = Uint8Array.from(readFileSync(join(folder, file)));
    return { name: file, bytes, situation: { ...plain, side } };
  }),
];

/** What HTTP/1.1 reacts to. */
const fragments = [
  '\r\n',
  '\r',
  '\n',
  '\r\n\r\n',
  ' ',
  '\t',
  ':',
  ',',
  ';',
  '"',
  '\\',
  '\0',
  '\x7f',
  '\xa0',
  '0',
  '5',
  'f',
  '0\r\n\r\n',
  'GET / HTTP/1.1\r\n',
  'HTTP/1.1 200 OK\r\n',
  'Host: b\r\n',
  'Content-Length: 5\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Connection: close\r\n',
  'Connection: x-forwarded-for\r\n',
  'Upgrade: websocket\r\n',
  'Expect: 100-continue\r\n',
  'Forwarded: for="x\r\n',
  'chunked',
  'http://b.example',
].map((text) => Buffer.from(text, 'latin1'));

function mutate(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  let seen = Buffer.from(bytes);
  for (let i = random(4) + 1; i > 0; i -= 1) {
    const at = random(seen.length + 1);
    const size = random(3) === 0 ? random(20) : 1;
    const before = seen.subarray(0, at);
    const fragment = fragments[random(fragments.length)] ?? Buffer.alloc(0);
    switch (random(5)) {
      case 0:
        seen = Buffer.concat([before, fragment, seen.subarray(at)]);
        break;
      case 1:
        seen = Buffer.concat([before, seen.subarray(at + size)]);
        break;
      case 2:
        seen = Buffer.concat([before, fragment, seen.subarray(at + size)]);
        break;
      case 3:
        seen = Buffer.concat([before, Buffer.from([random(256)]), seen.subarray(at + 1)]);
        break;
      default:
        seen = Buffer.concat([before, seen.subarray(at, at + 40), seen.subarray(at)]);
    }
  }
  return Uint8Array.from(seen.subarray(0, 3000));
}

const test = suite('http1 fuzz');
const requestPlan = new RequestPlan({ ...defaultRequestRules, forwarded: 'append', via: 'weir' });
const responsePlan = new ResponsePlan();
const peer = peerOf('2001:db8::1', 'https', 443);
const out = new Uint8Array(16_384);
const line = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*$/;

/** Lines of a written head; throws when one is not what a strict reader takes. */
function strictLines(text: string): void {
  assert.ok(text.endsWith('\r\n\r\n'), 'the head does not end with an empty line');
  const [first = '', ...fields] = text.slice(0, -4).split('\r\n');
  assert.not.match(first, /[\r\n\0]/);
  for (const field of fields) assert.match(field, line);
  const count = (name: RegExp): number => fields.filter((field) => name.test(field)).length;
  assert.ok(count(/^content-length:/i) + count(/^transfer-encoding:/i) <= 1, 'two framings');
  assert.ok(count(/^host:/i) <= 1, 'two Hosts');
}

function checkForwarding(bytes: Uint8Array, situation: Situation): void {
  const writer = new Writer();
  writer.reset(out, 0, out.length);
  const request = new RequestHead();
  // What Weir adds may be beyond the limits of what comes in.
  const again = new RequestHead({ ...defaultLimits, fields: 200, head: 32_768 });
  if (situation.side === 'request') {
    request.reset(0);
    if (request.parse(bytes, bytes.length) !== progress.done) return;
    writeRequest(writer, request, bytes, requestPlan, peer, null);
    strictLines(Buffer.from(out.subarray(0, writer.end)).toString('latin1'));
    again.reset(0);
    // A request of HTTP/1.0 without Host goes on with an empty one when none is configured.
    if (request.authorityEnd === request.hostStart) return;
    assert.is(again.parse(out, writer.end), progress.done, again.fault?.code);
    assert.equal([again.body, again.length, again.end], [request.body, request.length, writer.end]);
    return;
  }
  request.reset(0);
  request.parse(Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'), 26);
  const response = new ResponseHead();
  response.reset(0);
  if (response.parse(bytes, bytes.length) !== progress.done) return;
  writeResponse(writer, response, bytes, request, responsePlan, true);
  strictLines(Buffer.from(out.subarray(0, writer.end)).toString('latin1'));
}

function check(bytes: Uint8Array, situation: Situation, random: (below: number) => number): void {
  const whole = judge(bytes, situation);
  const cuts = Array.from({ length: random(5) + 1 }, () => random(bytes.length + 1));
  cuts.sort((a, b) => a - b);
  assert.equal(judge(bytes, situation, cuts), whole, `pieces that end at ${cuts.join(', ')}`);
  checkForwarding(bytes, situation);
  const proxy = new ProxyHeader();
  proxy.reset(0);
  proxy.parse(bytes, bytes.length);
}

test(`${runs} mutated messages (WEIR_SEED=${seed})`, () => {
  const random = generator(seed);
  for (let run = 0; run < runs; run += 1) {
    const origin = seeds[run % seeds.length];
    if (origin === undefined) throw new Error('there are no seeds');
    const bytes = run < seeds.length ? origin.bytes : mutate(origin.bytes, random);
    try {
      check(bytes, origin.situation, random);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const text = JSON.stringify(Buffer.from(bytes).toString('latin1'));
      throw new Error(
        `run ${run}, from "${origin.name}" (${origin.situation.side}): ${why}\nKeep these bytes in test/fuzz/http1-seeds: ${text}`,
        { cause: error },
      );
    }
  }
});

test.run();
