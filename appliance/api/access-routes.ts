/**
 * The paths of the API for protection: access lists, temporary entries, dropped packets.
 * Invariant: as in routes.ts, nothing is decided here.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { DaemonPort } from './port.js';
import { parseAccess, parseQuery } from './requests.js';

const DEFAULT_SAMPLES = 3;

export function addAccess(
  app: FastifyInstance,
  {
    daemon,
    authorOf,
  }: { readonly daemon: DaemonPort; readonly authorOf: (request: FastifyRequest) => string },
): void {
  app.get('/v1/drops', (request) => {
    const { samples = DEFAULT_SAMPLES } = parseQuery.drops(request.query);
    return daemon.drops({ samples });
  });

  app.get('/v1/access', (request) => {
    parseQuery.none(request.query);
    return daemon.access();
  });

  app.get('/v1/access/test', (request) => {
    const { address, service } = parseQuery.accessTest(request.query);
    return daemon.testAccess({ address, ...(service === undefined ? {} : { service }) });
  });

  app.post('/v1/access/entries', (request) => {
    parseQuery.none(request.query);
    const body = parseAccess(request.body);
    return daemon.putAccess({
      prefix: body.prefix,
      verdict: body.verdict,
      service: body.service ?? null,
      forMs: body['for-ms'],
      author: authorOf(request),
      comment: body.comment ?? '',
    });
  });

  app.delete('/v1/access/entries', async (request) => {
    const { prefix, service = null } = parseQuery.accessEntry(request.query);
    await daemon.removeAccess({ prefix, service, author: authorOf(request) });
    return daemon.access();
  });

  app.post('/v1/access/reload', (request) => {
    parseQuery.none(request.query);
    return daemon.reloadAccess();
  });
}
