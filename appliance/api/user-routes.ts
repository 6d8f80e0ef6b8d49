/**
 * The paths of the API for users, logins, tokens and the audit.
 *
 *   GET    /v1/version             of the daemon, and whether there are users: needs no login
 *   POST   /v1/login               {name, password}: a session
 *   POST   /v1/logout              ends the session that it is sent with
 *   GET    /v1/me                  who is asking
 *   POST   /v1/me/password         {old, password}
 *   GET    /v1/users
 *   POST   /v1/users               {name, role, password}
 *   PUT    /v1/users/NAME          {role?, password?, disabled?}
 *   DELETE /v1/users/NAME
 *   POST   /v1/users/NAME/unlock   ends a lock-out
 *   GET    /v1/tokens
 *   POST   /v1/tokens              {name, role, lifetime-ms?}: the secret, once
 *   DELETE /v1/tokens/NAME
 *   GET    /v1/audit               ?limit=N &before=NUMBER, newest first
 *
 * Invariant: as in routes.ts, nothing is decided here. Passwords and secrets come and go in bodies and
 * in Authorization alone, and errors do not repeat them.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Gate } from './identity.js';
import { PortError } from './port.js';
import { parseNothing, parseQuery, parseSecretBody } from './requests.js';
import { type Me, ROLES } from './user-contract.js';
import type { UsersPort } from './user-port.js';
import { version } from './version.js';

const DEFAULT_AUDIT = 100;

const name = z.string().max(64);
const password = z.string().max(1024);
const role = z.enum(ROLES);
const loginBody = z.strictObject({ name, password });
const userBody = z.strictObject({ name, role, password });
const changeBody = z
  .strictObject({
    role: role.optional(),
    password: password.optional(),
    disabled: z.boolean().optional(),
  })
  .refine((body) => Object.values(body).some((one) => one !== undefined), {
    error: 'give role, password, or disabled',
  });
const passwordBody = z.strictObject({ old: password, password });
const tokenBody = z.strictObject({
  name,
  role,
  'lifetime-ms': z
    .int()
    .min(60_000)
    .max(3650 * 86_400_000)
    .optional(),
});

type Named = { Params: { name: string } };

export function addUsers(app: FastifyInstance, users: UsersPort, gate: Gate): void {
  addSelf(app, users, gate);
  const authorOf = (request: FastifyRequest): string => gate.identityOf(request).author;

  app.get('/v1/users', (request) => {
    parseQuery.none(request.query);
    return users.list();
  });

  app.post('/v1/users', async (request, reply) => {
    parseQuery.none(request.query);
    const body = parseSecretBody(userBody, request.body);
    const row = await users.add({ ...body, author: authorOf(request) });
    return reply.status(201).send(row);
  });

  app.put<Named>('/v1/users/:name', (request) => {
    parseQuery.none(request.query);
    const body = parseSecretBody(changeBody, request.body);
    return users.set({
      name: request.params.name,
      ...(body.role === undefined ? {} : { role: body.role }),
      ...(body.password === undefined ? {} : { password: body.password }),
      ...(body.disabled === undefined ? {} : { disabled: body.disabled }),
      author: authorOf(request),
    });
  });

  app.delete<Named>('/v1/users/:name', async (request) => {
    parseQuery.none(request.query);
    users.remove({ name: request.params.name, author: authorOf(request) });
    return users.list();
  });

  app.post<Named>('/v1/users/:name/unlock', async (request) => {
    parseQuery.none(request.query);
    parseNothing(request.body);
    return users.unlock({ name: request.params.name, author: authorOf(request) });
  });

  app.get('/v1/tokens', (request) => {
    parseQuery.none(request.query);
    return users.tokens();
  });

  app.post('/v1/tokens', async (request, reply) => {
    parseQuery.none(request.query);
    const body = parseSecretBody(tokenBody, request.body);
    const made = users.createToken({
      ...{ name: body.name, role: body.role, author: authorOf(request) },
      lifetimeMs: body['lifetime-ms'] ?? null,
    });
    return reply.status(201).header('cache-control', 'no-store').send(made);
  });

  app.delete<Named>('/v1/tokens/:name', async (request) => {
    parseQuery.none(request.query);
    users.revokeToken({ name: request.params.name, author: authorOf(request) });
    return users.tokens();
  });

  app.get('/v1/audit', (request) => {
    const { limit = DEFAULT_AUDIT, before } = parseQuery.history(request.query);
    return users.audit({ limit, ...(before === undefined ? {} : { before }) });
  });
}

/** Who somebody is, and how they come to be that. */
function addSelf(app: FastifyInstance, users: UsersPort, gate: Gate): void {
  app.get('/v1/version', (request) => {
    parseQuery.none(request.query);
    return { version: version(), users: users.any };
  });

  app.post('/v1/login', async (request, reply) => {
    parseQuery.none(request.query);
    const body = parseSecretBody(loginBody, request.body);
    reply.header('cache-control', 'no-store');
    return users.login({ ...body, ...gate.sourceOf(request) });
  });

  app.post('/v1/logout', async (request) => {
    parseQuery.none(request.query);
    parseNothing(request.body);
    const { name: who, secret, via, author } = gate.identityOf(request);
    if (secret === null || via !== 'session') {
      throw new PortError('conflict', 'There is no session to end: you did not log in.');
    }
    users.logout({ secret, author });
    return { name: who };
  });

  app.get('/v1/me', async (request): Promise<Me> => {
    parseQuery.none(request.query);
    const identity = gate.identityOf(request);
    const { name: who, role: has, via, from, author, expires } = identity;
    return { name: who, role: has, via, from, author, expires };
  });

  app.post('/v1/me/password', (request) => {
    parseQuery.none(request.query);
    const body = parseSecretBody(passwordBody, request.body);
    const { name: who, via, source, author } = gate.identityOf(request);
    if (via !== 'session') {
      throw new PortError(
        'conflict',
        'Only who is logged in as a user has a password of their own.',
      );
    }
    return users.changePassword({ ...body, name: who, source, author });
  });
}
