/**
 * The paths of the API for the pair. Whoever joins a unit to another gives that one everything, so
 * all but looking is root's, or an administrator's who proved to be one.
 *
 *   GET    /v1/pair         the other unit, the links to it, an open invitation
 *   POST   /v1/pair/invite  {addresses?}: a code, once
 *   POST   /v1/pair/join    {code, address}; answers when it is done
 *   DELETE /v1/pair         leaves, or withdraws an invitation
 *
 * Invariant: as in routes.ts, nothing is decided here. A code comes and goes in bodies alone.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { DaemonPort } from './port.js';
import { provenOnly } from './identity.js';
import { parseInvite, parseJoin, parseQuery } from './requests.js';

export function addPair(
  app: FastifyInstance,
  {
    daemon: { pair },
    authorOf,
    isProven,
  }: {
    readonly daemon: DaemonPort;
    readonly authorOf: (request: FastifyRequest) => string;
    readonly isProven: (request: FastifyRequest) => boolean;
  },
): void {
  const check = provenOnly(
    isProven,
    'Units are paired and parted by root, or by an administrator who is logged in: run this as root.',
  );

  app.get('/v1/pair', (request) => {
    parseQuery.none(request.query);
    return pair.view();
  });

  app.post('/v1/pair/invite', async (request, reply) => {
    parseQuery.none(request.query);
    check(request);
    const { addresses = [] } = parseInvite(request.body);
    reply.header('cache-control', 'no-store');
    return pair.invite({ addresses, author: authorOf(request) });
  });

  app.post('/v1/pair/join', (request) => {
    parseQuery.none(request.query);
    check(request);
    const { code, address } = parseJoin(request.body);
    return pair.join({ code, address, author: authorOf(request) });
  });

  app.delete('/v1/pair', (request) => {
    parseQuery.none(request.query);
    check(request);
    return pair.leave({ author: authorOf(request) });
  });
}
