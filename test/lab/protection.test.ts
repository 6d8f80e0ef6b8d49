/**
 * Protection with real sockets: a list that is read from a file and changes, a broken file that
 * changes nothing, temporary entries, and limits of connections and of how fast they begin.
 */
import { renameSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { AccessView, DropRow, Status } from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { run, within } from './commands.js';
import { everyPath } from './configuration.js';
import { Lab } from './lab.js';
import { addressOf } from './topology.js';
import { until } from './unit.js';

const test = suite('protection');
const service = { name: 'nat-tcp4', address: '10.77.0.80', port: 90 };
const client = addressOf('client', 4, 'outside');

async function withLab(use: (lab: Lab) => Promise<void>): Promise<void> {
  const lab = await Lab.open(everyPath);
  try {
    await use(lab);
  } finally {
    await lab.close();
  }
}

/**
 * Opens so many connections one after the other, holds them, then ends them all. Says of each
 * whether it came to be. A dropped SYN is not answered; the client gives up before it repeats it.
 */
const OPEN = `
const net = require('node:net');
const [address, port, count] = process.argv.slice(1);
const open = () => new Promise((resolve) => {
  const socket = net.connect(Number(port), address);
  const timer = setTimeout(() => { socket.destroy(); resolve(null); }, 900);
  socket.once('connect', () => { clearTimeout(timer); resolve(socket); });
  socket.once('error', () => { clearTimeout(timer); resolve(null); });
});
(async () => {
  const held = [];
  for (let index = 0; index < Number(count); index++) held.push(await open());
  console.log(held.map((socket) => (socket === null ? '-' : '+')).join(''));
  for (const socket of held) socket?.end();
})();
`;

async function open(lab: Lab, count: number): Promise<string> {
  const line = within(lab.topology.namespace('client'), [
    process.execPath,
    '-e',
    OPEN,
    service.address,
    String(service.port),
    String(count),
  ]);
  return (await run(line[0] ?? '', line.slice(1))).trim();
}

async function dropped(lab: Lab, reason: string): Promise<DropRow> {
  const rows = await lab.unit.get<DropRow[]>('/v1/drops');
  const row = rows.find((one) => one.reason === reason);
  if (row === undefined) throw new Error(`no drops by ${reason}: ${JSON.stringify(rows)}`);
  return row;
}

needs.lab(test)('a list from a file denies, follows its file, and outlives a broken one', () =>
  withLab(async (lab) => {
    const path = lab.file('feed.txt', `# a feed\n${client}/32 ; the client\n`);
    assert.is(await open(lab, 1), '+', 'before the list');
    await lab.change((document) => {
      document['access-lists'] = { feed: { file: path } };
      const shop = document.services?.[service.name];
      if (shop !== undefined) shop.access = { deny: ['feed'] };
    });
    assert.is(await open(lab, 1), '-', 'while the list denies');
    const told = await dropped(lab, 'denied');
    assert.ok(told.total > 0 && told.shown > 0 && told.samples.length > 0, JSON.stringify(told));
    assert.match(await lab.unit.must('show', 'drops'), /denied .*\n[^]*10\.78\.0\.2/);
    const why = await lab.unit.must('access', 'test', client, '--service', service.name);
    assert.match(why, /deny +10\.78\.0\.2\/32 +the list feed/);

    renameSync(lab.file('feed.new', `${client}/32\nnonsense\n`), path);
    await until('an alarm names the line', 15_000, async () => {
      const { alarms } = await lab.unit.get<Status>('/v1/status');
      const found = alarms.find(({ code }) => code === 'access-list');
      return found?.message.includes('feed.txt, line 2') === true ? true : JSON.stringify(alarms);
    });
    assert.is(await open(lab, 1), '-', 'while the file is broken');
    await lab.unit.end('SIGKILL');
    assert.is(await open(lab, 1), '-', 'while no daemon runs');
    await lab.unit.start();
    assert.is(await open(lab, 1), '-', 'after a restart with a broken file');

    renameSync(lab.file('feed.new', '192.0.2.0/24\n'), path);
    await until('the file is read again', 15_000, async () => {
      const { lists } = await lab.unit.get<AccessView>('/v1/access');
      return lists[0]?.problem === null ? true : JSON.stringify(lists);
    });
    assert.is(await open(lab, 1), '+', 'after the client left the list');

    await lab.unit.must('access', 'deny', client, '--for', '1h', '--comment', 'by hand');
    assert.is(await open(lab, 1), '-', 'by a temporary entry');
    assert.match(await lab.unit.must('access', 'show'), /10\.78\.0\.2\/32 +deny +every/);
    await lab.unit.must('access', 'remove', client);
    assert.is(await open(lab, 1), '+', 'after the entry was removed');
  }),
);

needs.lab(test)('connections of a service and of a client are limited, and their rate', () =>
  withLab(async (lab) => {
    const limit = (limits: object): Promise<void> =>
      lab.change((document) => {
        const shop = document.services?.[service.name];
        if (shop !== undefined) shop.limits = limits;
      });
    assert.is(await open(lab, 4), '++++', 'without limits');
    await limit({ connections: 2 });
    assert.is(await open(lab, 4), '++--', 'two connections at one time');
    assert.ok((await dropped(lab, 'connection-limit')).total > 0);
    assert.is(await open(lab, 3), '++-', 'those that ended make room');
    await limit({ 'connections-per-client': 3 });
    assert.is(await open(lab, 4), '+++-', 'three of one client');
    await limit({ 'new-connections': { rate: '1/h', burst: 2 } });
    assert.is(await open(lab, 3), '++-', 'two an hour');
    assert.ok((await dropped(lab, 'rate-limit')).total > 0);
    await limit({});
    assert.is(await open(lab, 3), '+++', 'without limits again');
  }),
);

test.run();
