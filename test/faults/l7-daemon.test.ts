/**
 * The daemon of layer 7 ends in the middle of traffic, by SIGTERM or by SIGKILL, and comes back: no
 * request may be lost, whether its connection is kept or new, and counters go on.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { endWorkers } from '../../appliance/l7/supervisor/end-workers.js';
import { Poller } from '../../native/ffi/poller.js';
import { needs } from '../support/needs.js';
import { Load } from '../support/request-load.js';
import type { TierAnswer } from '../support/tier-process.js';
import { freePort, get } from '../support/worker-stage.js';

const test = suite('the daemon of layer 7 ends and comes back');
const root = needs.root(test);

const program = join(import.meta.dirname, '..', 'support', 'tier-process.js');
/** Seconds: far more than a test waits, so that orphans end by themselves only when it failed. */
const LINGER = '60';

interface Daemon {
  ask(line?: string): Promise<TierAnswer>;
  readonly kill: () => Promise<void>;
  readonly leave: () => Promise<void>;
}

interface Stage {
  readonly port: number;
  readonly stateFile: string;
  readonly start: (workers?: number) => Promise<Daemon>;
  /** Ends all workers; returns how many there were. */
  readonly end: () => Promise<number>;
}

async function withStage(work: (stage: Stage) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'weir-l7-'));
  const stateFile = join(directory, 'l7.json');
  const servers: Server[] = [];
  const daemons = new Set<Daemon>();
  const port = await freePort();
  const poller = new Poller();
  const end = (): Promise<number> => endWorkers(stateFile, poller);
  const start = async (workers = 2): Promise<Daemon> => {
    const members = servers.map((server) => String((server.address() as AddressInfo).port));
    const child = spawn(
      process.execPath,
      [program, stateFile, String(workers), String(port), ...members],
      { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, WEIR_L7_LINGER: LINGER } },
    );
    const exited = once(child, 'exit');
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const daemon: Daemon = {
      ask: async (line = 'state') => {
        child.stdin.write(`${line}\n`);
        return JSON.parse(String((await lines.next()).value)) as TierAnswer;
      },
      kill: async () => {
        child.kill('SIGKILL');
        await exited;
        daemons.delete(daemon);
      },
      leave: async () => {
        child.stdin.end();
        await exited;
        daemons.delete(daemon);
      },
    };
    daemons.add(daemon);
    assert.is((await lines.next()).value, 'ready');
    return daemon;
  };
  try {
    for (const name of ['a', 'b']) {
      const server = createServer((_asked, response) => response.end(name));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      servers.push(server);
    }
    await work({ port, stateFile, start, end });
  } finally {
    for (const daemon of [...daemons]) await daemon.kill();
    await end();
    poller.close();
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
    rmSync(directory, { recursive: true, force: true });
  }
}

for (const how of ['kill', 'leave'] as const) {
  const words = how === 'kill' ? 'killed' : 'ended';
  root(`a daemon that is ${words} under load and comes back loses no request`, async () => {
    await withStage(async ({ port, stateFile, start, end }) => {
      const first = await start();
      const load = new Load(port);
      await load.more(300);
      const before = await first.ask();
      await first[how]();
      await load.more(600);
      assert.is((statSync(stateFile).mode & 0o777).toString(8), '600');
      const second = await start();
      await load.more(600);
      const after = await second.ask();
      await load.stop();
      assert.equal(load.failures, []);
      const serving = after.workers.filter(({ state }) => state === 'serving');
      assert.is(serving.length, 2, JSON.stringify(after.workers));
      const old = new Set(before.workers.map(({ pid }) => pid));
      assert.ok(
        serving.every(({ pid }) => !old.has(pid)),
        'those who serve are of the new daemon',
      );
      assert.match(after.events.join('\n'), /took over the sockets and the counters of 2 workers/);
      assert.ok(
        after.requests >= before.requests + 1000,
        `${after.requests} requests counted, ${before.requests} before the end of the daemon`,
      );
      const all = await second.ask();
      assert.ok(all.requests <= load.requests, `${all.requests} of ${load.requests} requests`);
      await second.kill();
      const left = await end();
      assert.ok(left >= 2, `${left} workers were ended`);
      assert.is(await end(), 0);
      assert.match(await get(port).catch(String), /ECONNREFUSED/);
    });
  });
}

root(
  'after an upgrade that lays memory out anew, counters begin anew and no request is lost',
  async () => {
    await withStage(async ({ port, stateFile, start }) => {
      const first = await start();
      const load = new Load(port);
      await load.more(300);
      await first.leave();
      const state = JSON.parse(readFileSync(stateFile, 'utf8')) as object;
      writeFileSync(stateFile, JSON.stringify({ ...state, layout: 'of another build' }));
      const second = await start();
      await load.more(300);
      const { events, requests } = await second.ask();
      await load.stop();
      assert.equal(load.failures, []);
      assert.match(events.join('\n'), /took over the sockets of 2 workers .* begin anew/);
      assert.ok(requests > 0 && requests < load.requests, `${requests} requests`);
    });
  },
);

root('a state that others may write to, or that names other processes, ends nobody', async () => {
  await withStage(async ({ stateFile, start, end }) => {
    const first = await start();
    await first.leave();
    const text = readFileSync(stateFile, 'utf8');
    chmodSync(stateFile, 0o666);
    assert.match(await end().then(String, String), /others may write to .*: remove it/);
    chmodSync(stateFile, 0o600);
    const state = JSON.parse(text) as { readonly workers: readonly object[] };
    const innocent = { ...state.workers[0], pid: process.pid };
    writeFileSync(stateFile, JSON.stringify({ ...state, workers: [innocent] }));
    assert.is(await end(), 0, 'this process is as old as no worker');
    writeFileSync(stateFile, 'no JSON');
    assert.is(await end(), 0);
    writeFileSync(stateFile, text);
    assert.is(await end(), 2);
  });
});

root('a daemon that is killed again and again leaves no worker behind', async () => {
  await withStage(async ({ port, start, end }) => {
    const load = new Load(port);
    const pids = new Set<number>();
    await (await start()).kill();
    load.failures.length = 0;
    for (let i = 0; i < 3; i += 1) {
      const daemon = await start(1 + (i % 2));
      for (const { pid } of (await daemon.ask()).workers) pids.add(pid);
      await load.more(100);
      await daemon.kill();
    }
    load.failures.splice(0, load.failures.findLastIndex((one) => /ECONNREFUSED/.test(one)) + 1);
    await load.stop();
    await end();
    const alive = [...pids].filter((pid) => {
      try {
        // Whom nobody has waited for yet has no command line any more.
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';
      } catch {
        return false; // as it should be
      }
    });
    assert.equal(alive, []);
    assert.equal(load.failures, []);
  });
});

test.run();
