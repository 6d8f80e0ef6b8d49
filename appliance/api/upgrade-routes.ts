/**
 * The paths of the API for upgrades. Whoever replaces the system of a unit is root.
 *
 *   GET  /v1/upgrade       slots, versions, what is under way, how the last one ended
 *   POST /v1/upgrade       {file, 'allow-older'?, pair?}; answers when it is under way
 *   POST /v1/upgrade/back  the other slot as it is
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { DaemonPort } from './port.js';
import { provenOnly } from './identity.js';
import { parseQuery, parseUpgrade } from './requests.js';

export function addUpgrade(
  app: FastifyInstance,
  {
    daemon: { upgrades },
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
    'Units are upgraded by root, or by an administrator who is logged in: run this as root.',
  );

  app.get('/v1/upgrade', (request) => {
    parseQuery.none(request.query);
    return upgrades.view();
  });

  app.post('/v1/upgrade', (request) => {
    parseQuery.none(request.query);
    check(request);
    const { file, pair = false, 'allow-older': allowOlder = false } = parseUpgrade(request.body);
    return upgrades.start({ file, pair, allowOlder, author: authorOf(request) });
  });

  app.post('/v1/upgrade/back', (request) => {
    parseQuery.none(request.query);
    check(request);
    return upgrades.back({ author: authorOf(request) });
  });
}
