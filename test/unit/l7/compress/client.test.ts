/** A real client reads what was coded: heads by writeResponse, bodies by the compressors. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fetch } from 'undici';
import {
  availableCodings,
  CODE_AT_ONCE,
  codeAtOnce,
} from '../../../../appliance/l7/compress/codecs.js';
import { Compressors } from '../../../../appliance/l7/compress/compressor.js';
import { CompressionPlan } from '../../../../appliance/l7/compress/plan.js';
import { codingOf } from '../../../../appliance/l7/http1/coding.js';
import { progress } from '../../../../appliance/l7/http1/faults.js';
import { RequestHead } from '../../../../appliance/l7/http1/request-head.js';
import { ResponseHead } from '../../../../appliance/l7/http1/response-head.js';
import {
  passage,
  passageOf,
  ResponsePlan,
  writeResponse,
} from '../../../../appliance/l7/http1/rewrite-response.js';
import { Writer } from '../../../../appliance/l7/http1/writer.js';
import { usualRules } from '../../../support/http1-coded.js';

const test = suite('clients of a service that compresses');

const page = Buffer.from('<p>a line of text that shrinks</p>\n'.repeat(10_000));
const plan = new CompressionPlan(usualRules, availableCodings());
const back = new ResponsePlan();
const compressors = new Compressors(16);

/** Answers one request with `size` bytes of the page, as a worker would. */
function answer(socket: Socket, requestBytes: Buffer): void {
  const request = new RequestHead();
  request.reset(0);
  assert.is(request.parse(requestBytes, requestBytes.length), progress.done);
  const size = Number(
    requestBytes.subarray(request.pathStart + 1, request.pathEnd).toString('latin1'),
  );
  const bytes = Buffer.alloc(8192);
  const end = bytes.write(
    `HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: "1"\r\nContent-Length: ${size}\r\n\r\n`,
  );
  const response = new ResponseHead();
  response.reset(0, request.method, request.upgrade);
  assert.is(response.parse(bytes, end), progress.done);
  const treated = plan.treat(plan.accepted(request, requestBytes), response, bytes, back);
  const coding = codingOf(treated);
  const whole = coding !== 0 && size <= CODE_AT_ONCE ? codeAtOnce(coding, page, 0, size) : null;
  const length = whole?.length ?? -1;
  const writer = new Writer();
  writer.reset(bytes, 4096, bytes.length);
  writeResponse(writer, response, bytes, request, back, false, treated, length);
  socket.write(bytes.subarray(4096, writer.end));
  if (coding === 0 || whole !== null) {
    socket.end(whole ?? page.subarray(0, size));
    return;
  }
  const chunked = passageOf(response, request, treated, length) === passage.chunked;
  const compressor = compressors.start(
    coding,
    {
      onOutput(part) {
        if (chunked) socket.write(`${part.length.toString(16)}\r\n`);
        socket.write(Buffer.from(part));
        if (chunked) socket.write('\r\n');
        return true;
      },
      onRoom: () => more(),
      onEnd: () => socket.end(chunked ? '0\r\n\r\n' : ''),
      onError: (error) => socket.destroy(error),
    },
    'end',
  );
  let at = 0;
  const more = (): void => {
    const to = Math.min(size, at + compressor.room);
    if (to > at) compressor.push(page, at, to);
    at = to;
    if (at === size) compressor.finish();
  };
  more();
}

for (const accept of ['gzip', 'br', 'identity', 'gzip;q=0.1, br;q=0.2']) {
  test(`with Accept-Encoding: ${accept}`, async () => {
    const server = createServer((socket) => {
      socket.once('data', (bytes) => answer(socket, Buffer.from(bytes)));
    });
    try {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      for (const size of [100, 5000, 8192, 8193, 350_000]) {
        const response = await fetch(`http://127.0.0.1:${port}/${size}`, {
          headers: { 'accept-encoding': accept },
        });
        const text = Buffer.from(await response.arrayBuffer());
        assert.ok(text.equals(page.subarray(0, size)), `${size} bytes became ${text.length}`);
        const plain = size < usualRules.minimumSize;
        assert.is(response.headers.get('vary'), plain ? null : 'Accept-Encoding');
        const coded = !plain && accept !== 'identity';
        assert.is(response.headers.get('etag'), coded ? 'W/"1"' : '"1"');
        assert.is(response.headers.has('content-encoding'), coded);
      }
    } finally {
      server.close();
    }
  });
}

test.run();
