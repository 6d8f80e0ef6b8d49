/**
 * `GET /v1/live`: what a viewer looks at, one JSON object a line (NDJSON), until it goes.
 *
 * Invariant: a viewer costs `BUFFER_LIMIT_BYTES` and one message at most; who does not read that much is
 * not told of what comes meanwhile, which each message but those of the log makes up for.
 */
import type { FastifyInstance } from 'fastify';
import type { LiveMessage } from './live-contract.js';
import { parseFilter } from './live-filter.js';
import { type DaemonPort, PortError } from './port.js';
import { parseQuery } from './requests.js';

const BUFFER_LIMIT_BYTES = 1024 * 1024;

export function addLive(app: FastifyInstance, { daemon }: { readonly daemon: DaemonPort }): void {
  const ends = new Set<() => void>();
  app.addHook('preClose', (done) => {
    for (const end of ends) end();
    done();
  });
  app.get('/v1/live', { exposeHeadRoute: false }, (request, reply) => {
    const { view, order = 'hits', filter = '' } = parseQuery.live(request.query);
    const parsed = parseFilter(filter);
    if (!parsed.ok)
      throw new PortError('bad-request', `The filter is not understood: ${parsed.message}.`);
    const { raw } = reply;
    const send = (message: LiveMessage): void => {
      if (raw.writableLength <= BUFFER_LIMIT_BYTES) raw.write(`${JSON.stringify(message)}\n`);
    };
    // Before the head is sent, so that a refusal has its status.
    const stop = daemon.traffic.watch({ view, order, filter: parsed.filter }, send);
    const end = (): void => {
      raw.end();
    };
    ends.add(end);
    raw.once('close', () => {
      stop();
      ends.delete(end);
    });
    // A broken pipe is the viewer's business; 'close' follows.
    raw.on('error', () => undefined);
    raw.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    send({ type: 'hello', time: Date.now(), view });
    reply.hijack();
  });
}
