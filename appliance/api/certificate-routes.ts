/**
 * The paths of the API for certificates. What is imported and exported comes and goes as octets,
 * never inside JSON, so that keys do not become strings; a passphrase stands in a header of its own,
 * `Weir-Passphrase`, as base64 of UTF-8.
 *
 *   GET    /v1/certificates                    all, with the services that use them
 *   GET    /v1/certificates/NAME               one, with its chain and its waiting request
 *   PUT    /v1/certificates/NAME               imports PEM or PKCS#12: ?replace=true &authority=true
 *   POST   /v1/certificates/NAME/self-signed   {names, key, lifetime-ms, ca?, subject?, client-auth?, replace?}
 *   POST   /v1/certificates/NAME/authority     {key, lifetime-ms, subject?, replace?}
 *   POST   /v1/certificates/NAME/request       {names, key, subject?, client-auth?, replace?}
 *   POST   /v1/certificates/NAME/renew         what the unit obtains by itself, now; answers when it is there
 *   POST   /v1/certificates/NAME/export        {format, key}: octets; keys for root and proven administrators
 *   DELETE /v1/certificates/NAME               ?request=true takes only the request
 *
 * Invariant: as in routes.ts, nothing is decided here.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { PortError, type DaemonPort } from './port.js';
import {
  octets,
  parseAuthority,
  parseExport,
  parseQuery,
  parseRequest,
  parseSelfSigned,
} from './requests.js';

export const PASSPHRASE_HEADER = 'weir-passphrase';

interface Named {
  Params: { name: string };
}

export function addCertificates(
  app: FastifyInstance,
  {
    daemon: { certificates },
    authorOf,
    isProven,
  }: {
    readonly daemon: DaemonPort;
    readonly authorOf: (request: FastifyRequest) => string;
    readonly isProven: (request: FastifyRequest) => boolean;
  },
): void {
  app.get('/v1/certificates', (request) => {
    parseQuery.none(request.query);
    return certificates.list();
  });

  app.get<Named>('/v1/certificates/:name', (request) => {
    parseQuery.none(request.query);
    return certificates.get(request.params.name);
  });

  app.put<Named>('/v1/certificates/:name', (request) => {
    const query = parseQuery.certificate(request.query);
    return certificates.import({
      name: request.params.name,
      author: authorOf(request),
      replace: query.replace === 'true',
      authority: query.authority === 'true',
      bytes: octets(request.body),
      ...passphraseOf(request),
    });
  });

  app.post<Named>('/v1/certificates/:name/self-signed', (request) => {
    parseQuery.none(request.query);
    const body = parseSelfSigned(request.body);
    return certificates.make({
      name: request.params.name,
      author: authorOf(request),
      replace: body.replace ?? false,
      names: body.names,
      key: body.key,
      lifetimeMs: body['lifetime-ms'],
      clientAuth: body['client-auth'] ?? false,
      ...(body.subject === undefined ? {} : { subject: body.subject }),
      ...(body.ca === undefined ? {} : { ca: body.ca }),
    });
  });

  app.post<Named>('/v1/certificates/:name/authority', (request) => {
    parseQuery.none(request.query);
    const body = parseAuthority(request.body);
    return certificates.makeAuthority({
      name: request.params.name,
      author: authorOf(request),
      replace: body.replace ?? false,
      key: body.key,
      lifetimeMs: body['lifetime-ms'],
      ...(body.subject === undefined ? {} : { subject: body.subject }),
    });
  });

  app.post<Named>('/v1/certificates/:name/request', (request) => {
    parseQuery.none(request.query);
    const body = parseRequest(request.body);
    return certificates.makeRequest({
      name: request.params.name,
      author: authorOf(request),
      replace: body.replace ?? false,
      names: body.names,
      key: body.key,
      clientAuth: body['client-auth'] ?? false,
      ...(body.subject === undefined ? {} : { subject: body.subject }),
    });
  });

  app.post<Named>('/v1/certificates/:name/renew', (request) => {
    parseQuery.none(request.query);
    return certificates.renew({ name: request.params.name, author: authorOf(request) });
  });

  app.post<Named>('/v1/certificates/:name/export', async (request, reply) => {
    parseQuery.none(request.query);
    const body = parseExport(request.body);
    const bytes = await certificates.export({
      name: request.params.name,
      author: authorOf(request),
      proven: isProven(request),
      format: body.format,
      key: body.key,
      ...passphraseOf(request),
    });
    // Wiped once it is in the kernel's hands.
    reply.raw.once('close', () => bytes.fill(0));
    reply.header('cache-control', 'no-store').type('application/octet-stream');
    return reply.send(bytes);
  });

  app.delete<Named>('/v1/certificates/:name', async (request, reply) => {
    const query = parseQuery.certificateRemoval(request.query);
    await certificates.remove({
      name: request.params.name,
      request: query.request === 'true',
      author: authorOf(request),
    });
    return reply.send(await certificates.list());
  });
}

/** @throws PortError */
export function passphraseOf(request: FastifyRequest): { readonly passphrase?: string } {
  const header = request.headers[PASSPHRASE_HEADER];
  if (header === undefined) return {};
  const bytes = typeof header === 'string' ? Buffer.from(header, 'base64') : null;
  try {
    return {
      passphrase: new TextDecoder('utf-8', { fatal: true }).decode(bytes ?? Buffer.of(255)),
    };
  } catch (cause) {
    throw new PortError('bad-request', 'Weir-Passphrase must be base64 of UTF-8 text.', { cause });
  }
}
