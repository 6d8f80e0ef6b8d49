/** A real daemon: who is administrator by being there, who logs in, and what outlives its restart. */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type {
  AuditRow,
  LoggedIn,
  Me,
  TokenCreated,
  UserRow,
} from '../../appliance/api/contract.js';
import { Client } from '../../appliance/cli/client.js';
import { userName } from '../../native/ffi/peer-credentials.js';
import { needs } from '../support/needs.js';
import { askAs, NOBODY } from '../support/other-user.js';
import { until } from './unit.js';

const test = suite('users of a unit');
const program = fileURLToPath(new URL('../../appliance/cli/weir.js', import.meta.url));
const CONSOLE = 1;
const PASSWORD = 'correct horse battery';

/** In a network of its own, which ends with it. */
class Daemon {
  readonly folder = mkdtempSync(join(tmpdir(), 'weir-users-'));
  readonly socket = join(this.folder, 'weir.sock');
  readonly client = new Client(this.socket);
  readonly #pins = `/sys/fs/bpf/weir-users-${process.pid}`;
  #process: ChildProcess | null = null;
  #said = '';

  async start(): Promise<void> {
    chmodSync(this.folder, 0o755);
    const daemon = spawn('unshare', [
      ...['--net', process.execPath, program, 'daemon', '--console-user', userName(CONSOLE)],
      ...['--state-dir', join(this.folder, 'state'), '--run-dir', join(this.folder, 'run')],
      ...['--bpf-dir', this.#pins, '--socket', this.socket],
    ]);
    this.#process = daemon;
    for (const stream of [daemon.stdout, daemon.stderr]) {
      stream.on('data', (text) => (this.#said += String(text)));
    }
    await until('the daemon answers', 30_000, async () => {
      if (daemon.exitCode !== null) throw new Error(`the daemon ended: ${this.#said}`);
      return this.client.text({ path: '/v1/version' }).then(
        () => true as const,
        (error: Error) => error.message,
      );
    });
    // Whoever may use the socket is not what is tried here.
    chmodSync(this.socket, 0o666);
  }

  async stop(): Promise<void> {
    const daemon = this.#process;
    this.#process = null;
    if (daemon === null) return;
    const ended = new Promise((resolve) => daemon.once('close', resolve));
    daemon.kill('SIGTERM');
    await ended;
  }

  async close(): Promise<void> {
    await this.stop();
    rmSync(this.#pins, { recursive: true, force: true });
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** As another user of the system asks. */
  async as<T>(
    uid: number,
    method: string,
    path: string,
    of: { readonly body?: object; readonly secret?: string } = {},
  ): Promise<{ readonly status: number; readonly value: T }> {
    const { status, text } = await askAs(uid, {
      ...{ socketPath: this.socket, method, path },
      headers: {
        ...(of.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(of.secret === undefined ? {} : { authorization: `Bearer ${of.secret}` }),
      },
      ...(of.body === undefined ? {} : { body: JSON.stringify(of.body) }),
    });
    return { status, value: JSON.parse(text) as T };
  }
}

needs.lab(test)(
  'peers are trusted until there are users, and then have to say who they are',
  async () => {
    const unit = new Daemon();
    try {
      await unit.start();
      const before = await unit.as<Me>(NOBODY, 'GET', '/v1/me');
      assert.equal([before.value.role, before.value.via], ['administrator', 'local']);
      const anna = { name: 'anna', role: 'administrator', password: PASSWORD };
      assert.is((await unit.as(NOBODY, 'POST', '/v1/users', { body: anna })).status, 201);

      assert.is((await unit.as(NOBODY, 'GET', '/v1/status')).status, 401);
      assert.is((await unit.as(CONSOLE, 'GET', '/v1/status')).status, 401);
      const root = await unit.client.json<Me>({ path: '/v1/me' });
      assert.equal([root.role, root.via, root.author], ['administrator', 'root', 'root']);

      const body = { name: 'anna', password: PASSWORD };
      const { value: session } = await unit.as<LoggedIn>(CONSOLE, 'POST', '/v1/login', { body });
      const by = { secret: session.token };
      const me = await unit.as<Me>(CONSOLE, 'GET', '/v1/me', by);
      assert.is(me.value.author, 'anna (console)');
      const ci = { name: 'ci', role: 'operator', 'lifetime-ms': 86_400_000 };
      const made = await unit.as<TokenCreated>(CONSOLE, 'POST', '/v1/tokens', { body: ci, ...by });
      const token = { secret: made.value.token };
      const document = { version: 1, unit: { name: 'weir-a' } };
      const refused = await unit.as(NOBODY, 'PUT', '/v1/config', { body: document, ...token });
      assert.is(refused.status, 403);
      const applied = await unit.as(CONSOLE, 'PUT', '/v1/config', { body: document, ...by });
      assert.is(applied.status, 200);
      const [revision] = await unit.client.json<{ author: string }[]>({ path: '/v1/revisions' });
      assert.is(revision?.author, 'anna (console)');

      await unit.stop();
      await unit.start();
      assert.is((await unit.as(CONSOLE, 'GET', '/v1/me', by)).status, 401, 'sessions end');
      assert.is((await unit.as<Me>(NOBODY, 'GET', '/v1/me', token)).value.author, 'token ci');
      const [user] = await unit.client.json<UserRow[]>({ path: '/v1/users' });
      assert.is(user?.name, 'anna');
      const acts = await unit.client.json<AuditRow[]>({ path: '/v1/audit' });
      assert.equal(
        acts.map(({ author, act, status }) => `${author}: ${act} ${status}`),
        [
          'anna (console): apply a document 200',
          'token ci: apply a document 403',
          'anna (console): make a token 201',
          'anna: log in 200',
          `${userName(NOBODY)}: add a user 201`,
        ],
      );
    } finally {
      await unit.close();
    }
  },
);

test.run();
