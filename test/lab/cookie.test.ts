/**
 * SYN cookies with real sockets: every connection of a service that always answers by cookies is
 * whole, and under a flood of forged SYNs established connections go on and new ones come to be.
 */
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { EventRow, ServiceRow } from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { run, start, within } from './commands.js';
import { everyPath } from './configuration.js';
import { Lab } from './lab.js';
import { until } from './unit.js';

const test = suite('cookie');
const program = fileURLToPath(new URL('./cookie-process.js', import.meta.url));

interface Shape {
  unit: object;
  services: Record<string, Record<string, unknown>>;
}

/** The configuration of every path, with full nat besides, and nat services that use cookies so. */
function configuration(synCookies: string): string {
  const shape = JSON.parse(everyPath) as Shape;
  shape.unit = { ...shape.unit, 'nat-addresses': ['10.77.0.70', 'fd77::70'] };
  for (const [name, address, pool] of [
    ['full-nat-tcp4', '10.77.0.85', 'tcp4'],
    ['full-nat-tcp6', 'fd77::85', 'tcp6'],
  ] as const) {
    const listen = { address, port: 90, protocol: 'tcp' };
    shape.services[name] = { listen, forwarding: 'full-nat', pool };
  }
  for (const [name, service] of Object.entries(shape.services)) {
    if (name.includes('nat-tcp')) service['syn-cookies'] = synCookies;
  }
  return JSON.stringify(shape);
}

async function withLab(synCookies: string, use: (lab: Lab) => Promise<void>): Promise<void> {
  const lab = await Lab.open(configuration(synCookies));
  try {
    await use(lab);
  } finally {
    await lab.close();
  }
}

async function inClient<T>(lab: Lab, ...args: (string | number)[]): Promise<T> {
  const line = within(lab.topology.namespace('client'), [
    process.execPath,
    program,
    ...args.map(String),
  ]);
  const said = await run(line[0] ?? '', line.slice(1), { timeout: 120_000 });
  return JSON.parse(said.trim().split('\n').at(-1) ?? '') as T;
}

interface Talked {
  readonly connections: number;
  readonly failed: number;
  readonly problems: readonly string[];
}

async function serviceRow(lab: Lab, name: string): Promise<ServiceRow> {
  const rows = await lab.unit.get<ServiceRow[]>('/v1/services');
  const row = rows.find((one) => one.name === name);
  if (row === undefined) throw new Error(`no service ${name}`);
  return row;
}

needs.lab(test)('1,000 connections by cookies, by nat and full nat in both families', () =>
  withLab('always', async (lab) => {
    for (const name of ['nat-tcp4', 'nat-tcp6', 'full-nat-tcp4', 'full-nat-tcp6']) {
      const { address, port } = await serviceRow(lab, name);
      const seen = await inClient<Talked>(lab, 'talk', address, port, 1000, 20_000);
      assert.equal(seen, { connections: 1000, failed: 0, problems: [] }, name);
      const { synCookies, totals } = await serviceRow(lab, name);
      assert.ok(
        (synCookies?.accepted ?? 0) >= 1000 && totals.flows >= 1000,
        `${name}: expected 1000 cookies that came back, seen ${JSON.stringify(synCookies)}`,
      );
    }
  }),
);

/** Segments that hosts sent, and sent again, since they are there. */
async function segments(lab: Lab, host: 'client' | 'member-1' | 'member-2' | 'member-3') {
  const line = within(lab.topology.namespace(host), ['cat', '/proc/net/snmp']);
  const text = await run(line[0] ?? '', line.slice(1));
  const [names = [], values = []] = text
    .split('\n')
    .filter((one) => one.startsWith('Tcp:'))
    .map((one) => one.split(' '));
  const of = (name: string): number => Number(values[names.indexOf(name)]);
  return { sent: of('OutSegs'), again: of('RetransSegs') };
}

needs.lab(test)('a flood of forged SYNs leaves established connections alone', () =>
  withLab('auto', async (lab) => {
    const { address, port } = await serviceRow(lab, 'nat-tcp4');
    const holder = start(lab.topology.namespace('client'), [
      ...[process.execPath, program, 'hold', address, String(port), '12', '8'],
    ]);
    const lines: string[] = [];
    if (holder.stdout !== null) {
      createInterface({ input: holder.stdout }).on('line', (line) => lines.push(line));
    }
    await until('connections are held', 10_000, () =>
      Promise.resolve(lines.includes('held') ? true : lines.join()),
    );
    const before = await segments(lab, 'client');
    const flooded = await inClient<{ sent: number }>(lab, 'flood', address, port, 40_000, 4);
    const after = await segments(lab, 'client');
    const sent = after.sent - before.sent;
    const again = after.again - before.again;
    const share = flooded.sent / (flooded.sent + sent);
    console.log(`flood ${flooded.sent}, established ${sent}, sent again ${again}`);
    assert.ok(share >= 0.9, `the flood is ${(share * 100).toFixed(1)} % of what came`);
    assert.ok(again <= sent / 100, `${again} of ${sent} established segments were lost`);
    const state = (await serviceRow(lab, 'nat-tcp4')).synCookies;
    assert.ok(state?.on === true && state.sent > 0, `cookies: ${JSON.stringify(state)}`);

    const second = inClient<{ sent: number }>(lab, 'flood', address, port, 40_000, 4);
    const talked = await inClient<Talked>(lab, 'talk', address, port, 100, 2000);
    await second;
    assert.equal(talked, { connections: 100, failed: 0, problems: [] }, 'new connections');
    await until('the end is told', 30_000, async () => {
      const events = await lab.unit.get<EventRow[]>('/v1/events?limit=20&kind=syn-cookies');
      const told = events.map(({ message }) => message.split(':')[0] ?? '');
      const wanted = [
        'SYN cookies on for service nat-tcp4',
        'SYN cookies off for service nat-tcp4',
      ];
      return wanted.every((one) => told.includes(one)) ? true : told.join('; ');
    });
    const held = JSON.parse(lines.find((line) => line.startsWith('{')) ?? '{}') as {
      broken?: number;
      sent?: number;
      answered?: number;
    };
    assert.is(held.broken, 0, `held connections: ${JSON.stringify(held)}`);
    assert.is(held.sent, held.answered, 'every line was answered');
  }),
);

test.run();
