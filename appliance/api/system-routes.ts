/**
 * The paths of the API for the unit as a machine. All but looking is root's: a backup has every key, and
 * a reset ends everything. Backups come and go as octets; the passphrase stands in `Weir-Passphrase`.
 *
 *   GET  /v1/system                 its name, and what it may do to its host
 *   POST /v1/system/backup          {scope}: octets
 *   POST /v1/system/inspect         octets: what a backup has, and what restoring it would change; ?configuration-only=true
 *   POST /v1/system/restore         octets; ?configuration-only=true &comment=TEXT
 *   POST /v1/system/support-bundle  {mask-addresses?}: octets
 *   POST /v1/system/factory-reset   {name, keep-logs?}: answers, and then begins
 *   POST /v1/system/power           {action}: reboot or off
 *
 * Invariant: as in routes.ts, nothing is decided here.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { passphraseOf } from './certificate-routes.js';
import { BACKUP_LIMIT_BYTES } from './contract.js';
import { PortError, type DaemonPort } from './port.js';
import { provenOnly } from './identity.js';
import {
  octets,
  parseBackup,
  parsePower,
  parseQuery,
  parseReset,
  parseSupportBundle,
} from './requests.js';

const LARGE = { bodyLimit: BACKUP_LIMIT_BYTES };

export function addSystem(
  app: FastifyInstance,
  {
    daemon: { system },
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
    'This is for root, or for an administrator who is logged in: run it as root.',
  );
  const passphrase = (request: FastifyRequest): string => {
    const { passphrase: given } = passphraseOf(request);
    if (given !== undefined) return given;
    throw new PortError('bad-request', 'Send the passphrase in Weir-Passphrase, as base64.');
  };

  app.get('/v1/system', (request) => {
    parseQuery.none(request.query);
    return system.view();
  });

  app.post('/v1/system/backup', async (request, reply) => {
    parseQuery.none(request.query);
    check(request);
    const { scope } = parseBackup(request.body);
    const bytes = await system.backup({
      scope,
      author: authorOf(request),
      passphrase: passphrase(request),
    });
    reply.header('cache-control', 'no-store').type('application/octet-stream');
    return reply.send(bytes);
  });

  app.post('/v1/system/inspect', LARGE, (request) => {
    check(request);
    const query = parseQuery.inspect(request.query);
    return system.inspect({
      bytes: octets(request.body),
      passphrase: passphrase(request),
      configurationOnly: query['configuration-only'] === 'true',
    });
  });

  app.post('/v1/system/restore', LARGE, (request) => {
    check(request);
    const query = parseQuery.restore(request.query);
    return system.restore({
      bytes: octets(request.body),
      passphrase: passphrase(request),
      configurationOnly: query['configuration-only'] === 'true',
      author: authorOf(request),
      comment: query.comment ?? '',
    });
  });

  app.post('/v1/system/support-bundle', async (request, reply) => {
    parseQuery.none(request.query);
    check(request);
    const body = parseSupportBundle(request.body);
    const bytes = await system.supportBundle({
      maskAddresses: body['mask-addresses'] ?? false,
      author: authorOf(request),
    });
    reply.header('cache-control', 'no-store').type('application/octet-stream');
    return reply.send(bytes);
  });

  app.post('/v1/system/factory-reset', async (request, reply) => {
    parseQuery.none(request.query);
    check(request);
    const body = parseReset(request.body);
    await system.factoryReset({
      name: body.name,
      keepLogs: body['keep-logs'] ?? false,
      author: authorOf(request),
    });
    return reply.send({ erased: body.name });
  });

  app.post('/v1/system/power', async (request, reply) => {
    parseQuery.none(request.query);
    check(request);
    const { action } = parsePower(request.body);
    await system.power({ action, author: authorOf(request) });
    return reply.send({ action });
  });
}
