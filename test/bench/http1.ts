/**
 * Times the HTTP/1.1 codec alone, warmed up, in one process: `npm run bench -- http1`.
 *
 * Each figure is the time of many rounds divided by their number; the minimum of the runs
 * is the one that other work on the machine disturbs least.
 */
import { progress } from '../../appliance/l7/http1/faults.js';
import { ChunkDecoder, chunkStep } from '../../appliance/l7/http1/chunked.js';
import { peerOf } from '../../appliance/l7/http1/peer.js';
import { RequestHead } from '../../appliance/l7/http1/request-head.js';
import { ResponseHead } from '../../appliance/l7/http1/response-head.js';
import { RequestIds } from '../../appliance/l7/http1/request-id.js';
import {
  defaultRequestRules,
  RequestPlan,
  writeRequest,
} from '../../appliance/l7/http1/rewrite-request.js';
import { ResponsePlan, writeResponse } from '../../appliance/l7/http1/rewrite-response.js';
import { Writer } from '../../appliance/l7/http1/writer.js';

interface Options {
  readonly json?: boolean;
  readonly runs?: number;
  readonly repeat?: number;
}

const request = [
  'GET /catalogue/items/4711?page=2&sort=price HTTP/1.1',
  'Host: shop.example',
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
  'Accept-Language: en-GB,en;q=0.5',
  'Accept-Encoding: gzip, deflate, br',
  'Referer: https://shop.example/catalogue',
  'Connection: keep-alive',
  'Cookie: session=0123456789abcdef0123456789abcdef; theme=dark',
  'Upgrade-Insecure-Requests: 1',
  'Cache-Control: max-age=0',
  '',
  '',
].join('\r\n');

const response = [
  'HTTP/1.1 200 OK',
  'Date: Mon, 01 Jan 2024 00:00:00 GMT',
  'Server: member',
  'Content-Type: text/html; charset=utf-8',
  'Content-Length: 5120',
  'Connection: keep-alive',
  'Cache-Control: private, max-age=0',
  'ETag: "0123456789abcdef"',
  'Vary: Accept-Encoding',
  '',
  '',
].join('\r\n');

const arena = new Uint8Array(64 * 1024);
const requestAt = 1000;
const responseAt = 4000;
const chunksAt = 8000;
const outAt = 32 * 1024;
arena.set(Buffer.from(request), requestAt);
arena.set(Buffer.from(response), responseAt);
const chunks = Buffer.from(`${'40\r\n'}${'x'.repeat(64)}\r\n`.repeat(16) + '0\r\n\r\n');
arena.set(chunks, chunksAt);

const head = new RequestHead();
const answer = new ResponseHead();
const decoder = new ChunkDecoder();
const writer = new Writer();
const peer = peerOf('192.0.2.1', 'https', 443);
const plan = new RequestPlan();
const fullPlan = new RequestPlan({
  ...defaultRequestRules,
  forwarded: 'append',
  via: 'weir',
  requestId: { name: 'X-Request-Id', client: 'replace' },
});
const ids = new RequestIds('{uuid}', Uint32Array.of(1, 2, 3, 4), { unit: 'a', worker: 0 });
const responsePlan = new ResponsePlan();

function parseRequest(): void {
  head.reset(requestAt);
  if (head.parse(arena, requestAt + request.length) !== progress.done) {
    throw new Error(`the request was refused: ${head.fault?.code ?? 'unfinished'}`);
  }
}

function parseResponse(): void {
  answer.reset(responseAt);
  if (answer.parse(arena, responseAt + response.length) !== progress.done) {
    throw new Error(`the response was refused: ${answer.fault?.code ?? 'unfinished'}`);
  }
}

function forward(which: RequestPlan, requestIds: RequestIds | null): void {
  writer.reset(arena, outAt, arena.length);
  writeRequest(writer, head, arena, which, peer, requestIds);
  if (writer.end < 0) throw new Error('the request did not fit');
}

function answerBack(): void {
  writer.reset(arena, outAt, arena.length);
  writeResponse(writer, answer, arena, head, responsePlan, true);
  if (writer.end < 0) throw new Error('the response did not fit');
}

function decode(): void {
  decoder.reset(chunksAt);
  for (;;) {
    const step = decoder.next(arena, chunksAt + chunks.length);
    if (step === chunkStep.done) return;
    if (step !== chunkStep.data) throw new Error('the chunks were refused');
  }
}

const cases: readonly [string, string, () => void][] = [
  ['l7.http1.parse-request', `request head, 10 fields, ${request.length} bytes`, parseRequest],
  ['l7.http1.parse-response', `response head, 8 fields, ${response.length} bytes`, parseResponse],
  ['l7.http1.write-request', 'forward it (X-Forwarded-*)', () => forward(plan, null)],
  ['l7.http1.write-request-full', '… with Forwarded, Via, id', () => forward(fullPlan, ids)],
  ['l7.http1.write-response', 'pass the response back', answerBack],
  ['l7.http1.chunks', '16 chunks of 64 bytes', decode],
];

/** Nanoseconds of CPU a round, the process's own: others on the machine hardly count. */
function time(act: () => void, rounds: number): number {
  const begun = process.cpuUsage();
  for (let i = 0; i < rounds; i += 1) act();
  const { user, system } = process.cpuUsage(begun);
  return ((user + system) * 1000) / rounds;
}

export async function run(options: Options): Promise<void> {
  const runs = options.runs ?? 9;
  const rounds = options.repeat ?? 100_000;
  for (const [name, what, act] of cases) {
    parseRequest();
    parseResponse();
    time(act, rounds);
    time(act, rounds);
    const seen = Array.from({ length: runs }, () => time(act, rounds)).sort((a, b) => a - b);
    const [min = 0, median = 0, max = 0] = [seen[0], seen[runs >> 1], seen[runs - 1]];
    if (options.json === true) {
      console.log(JSON.stringify({ case: name, unit: 'ns', ours: { min, median, max } }));
    } else {
      console.log(
        `${what.padEnd(40)} ${min.toFixed(0).padStart(6)} ns (median ${median.toFixed(0)}, max ${max.toFixed(0)})`,
      );
    }
  }
}
