/**
 * The dashboard against a real daemon, by keys alone: a killed member is seen, the daemon may go and
 * come back; a service is made from nothing, goes back by itself, is kept and serves; a member of it is
 * drained under load.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ConfigView, MemberRow, Status } from '../../appliance/api/contract.js';
import { choose, fill, pick, toField } from '../support/form-keys.js';
import { needs } from '../support/needs.js';
import { withTerminal, type Screen } from '../support/terminal.js';
import { ask } from './asks.js';
import { everyPath } from './configuration.js';
import { addressesOf, Lab, type ServiceTarget } from './lab.js';
import { addressOf } from './topology.js';
import { until } from './unit.js';

const test = suite('dashboard');
const program = fileURLToPath(new URL('../../appliance/cli/weir.js', import.meta.url));

const LARGE = {
  columns: 160,
  rows: 48,
  environment: { TERM: 'xterm-256color', LC_ALL: 'C.UTF-8' },
};
/** A serial console: neither colours nor signs beyond ASCII. */
const SERIAL = { columns: 80, rows: 24, environment: { TERM: 'vt220', LC_ALL: 'C' } };

async function withDashboard(
  act: (lab: Lab, screen: Screen) => Promise<void>,
  { text = everyPath, terminal = LARGE } = {},
): Promise<void> {
  const lab = await Lab.open(text);
  try {
    await withTerminal(
      {
        ...terminal,
        command: [process.execPath, program, 'tui'],
        environment: { ...terminal.environment, WEIR_SOCKET: lab.unit.socket },
      },
      (screen) => act(lab, screen),
    );
  } finally {
    await lab.close();
  }
}

needs.lab(test)(
  'a killed member is seen, one is drained by key, a daemon goes and comes back',
  () =>
    withDashboard(async (lab, screen) => {
      await screen.until('all is well', (text) => text.includes('All is well'));
      const target = lab.targets.find((one) => one.forwarding === 'nat' && one.protocol === 'tcp');
      assert.ok(target !== undefined);
      screen.send('Tvv');
      await screen.until('the newest flows', (text) => text.includes('[Flows]'));
      await ask(lab, target.name);
      await screen.until('the flow, its service and how it goes', (text) =>
        new RegExp(`^ *\\d+s tcp \\S+ +${target.name} +\\S+ +nat +(open|clos)`, 'm').test(text),
      );
      screen.send('v');
      await screen.until(
        'the log, and none',
        (text) => text.includes('[Log]') && text.includes('No request'),
      );
      screen.send('\u001b');
      await screen.until('the overview', (text) => text.includes('the last 10 minutes'));
      const [address = ''] = addressesOf('member-1');
      await lab.members.kill('member-1');
      await lab.unit.untilMembers([address], ['DOWN']);
      const known = performance.now();
      await screen.until('what is wrong', (text) =>
        text.includes(`Member ${address} of pool direct4 is down`),
      );
      const seenAfter = performance.now() - known;
      // Some 200 ms; the bound is for a machine that does something else.
      assert.ok(
        seenAfter < 2000,
        `the dashboard said it ${seenAfter.toFixed(0)} ms after the daemon`,
      );

      const [other = ''] = addressesOf('member-2');
      screen.send('4');
      await screen.until('members', (text) => text.includes('[4 Members]') && text.includes(other));
      screen.send(`/${other} up\r`);
      await screen.until('the filter', (text) => text.includes("match '"));
      screen.send('d');
      await screen.until('the question', (text) => text.includes(`Drain member ${other}`));
      screen.send('y');
      await screen.until('what came of it', (text) => text.includes('is set to draining'));
      await until('the daemon drains it', 10_000, async () => {
        const rows = await lab.unit.get<MemberRow[]>('/v1/members');
        const states = rows.filter((row) => row.address === other).map(({ state }) => state);
        return states.includes('DRAINING') || states.join();
      });
      screen.send('\u001b1');
      await lab.unit.end('SIGKILL');
      await screen.until('that the daemon is gone', (text) => text.includes('NOT CONNECTED'));
      await lab.unit.start();
      await screen.until('the daemon again', (text) => text.includes('● connected'));
      screen.send('q');
      await screen.ended;
      assert.is(screen.alternate(), false);
    }),
);

needs.lab(test)(
  'a weight is edited in a form, committed for a minute, kept, and brought back from the history',
  () =>
    withDashboard(async (lab, screen) => {
      const [address = ''] = addressesOf('member-1');
      const weights = async (): Promise<string> => {
        const rows = await lab.unit.get<MemberRow[]>('/v1/members?pool=direct4');
        return rows
          .filter((row) => row.address === address)
          .map(({ weight }) => weight)
          .join();
      };
      await screen.until('all is well', (text) => text.includes('All is well'));
      assert.is(await weights(), '3');
      screen.send('7');
      await screen.until('the objects', (text) => text.includes('direct4/'));
      screen.send(`/direct4/${address}\r`);
      await screen.until('one of them', (text) => text.includes('match '));
      screen.send('\r');
      await screen.until('its form', (text) => text.includes('Enter edits'));
      await fill(screen, 'weight', '999');
      await screen.until('what the daemon says of 999', (text) =>
        text.includes('Candidate: 1 error'),
      );
      assert.is(await weights(), '3');
      await fill(screen, 'weight', '9');
      await screen.until('that 9 is well', (text) => text.includes('Candidate: 1 change'));
      screen.send('C');
      await screen.until('the question', (text) => text.includes('Goes back'));
      screen.send('heavier\r\r');
      await screen.until('the countdown', (text) => text.includes('K keeps it'));
      assert.is(await weights(), '9');
      screen.send('Ky');
      await screen.until('that it stays', (text) => text.includes('stays.'));
      assert.is((await lab.unit.get<Status>('/v1/status')).pendingConfirm, null);
      screen.send('H');
      await screen.until('the history', (text) => text.includes('heavier'));
      screen.send('j');
      await screen.until('the first revision', () =>
        screen.text().some((line, row) => /^ +1 /.test(line) && screen.cell(1, row).inverse),
      );
      screen.send('b');
      await screen.until('the question', (text) => text.includes('Back to revision 1'));
      // Left of the first choice is the last one: it stays.
      screen.send('\r\u001b[D\r');
      await screen.until('what came of it', (text) => text.includes('is back'));
      assert.is(await weights(), '3');
      screen.send('q');
      await screen.ended;
    }),
);

const bare = JSON.stringify({
  version: 1,
  unit: { name: 'weir-a', interfaces: ['eth0', 'eth1'] },
});
const inside = (['member-1', 'member-2', 'member-3'] as const).map((name) => addressOf(name, 4));
const [, second = ''] = inside;
const web: ServiceTarget = {
  ...{ name: 'web', pool: 'web', forwarding: 'nat', protocol: 'http' },
  ...{ address: '10.77.0.80', port: 80, memberPort: 8080 },
};

needs.lab(test)(
  'a service made from nothing goes back by itself, is kept then, and a member of it drains under load',
  () =>
    withDashboard(
      async (lab, screen) => {
        await screen.until('nothing yet', (text) => text.includes('No services yet'));
        await formed(screen);
        screen.send('C');
        await answered(screen, 'the first service', '8s');
        await lab.unit.untilMembers(inside, ['UP']);
        screen.send('1');
        await screen.until('the service, and that it waits', (text) =>
          /^web +. UP[^]*(press K|K keeps it)/m.test(text),
        );
        await screen.until('that it is gone again, and why', (text) =>
          /No services yet[^]*was not confirmed/.test(text),
        );
        const { document } = await lab.unit.get<ConfigView>('/v1/config');
        assert.equal([document?.services ?? {}, document?.pools ?? {}], [{}, {}]);

        screen.send('7H');
        await screen.until('the history', (text) => /REVISION[^]*the first service/.test(text));
        screen.send('j');
        await screen.until('that revision', () =>
          screen.text().some((line, row) => /^ +2 /.test(line) && screen.cell(1, row).inverse),
        );
        screen.send('b');
        await answered(screen, 'once more', '60s');
        await screen.until('the countdown', (text) => text.includes('K keeps it'));
        screen.send('K');
        await screen.until('the question', (text) => text.includes('Keep revision'));
        screen.send('y');
        await screen.until('that it stays', (text) => text.includes('stays.'));
        await lab.unit.untilMembers(inside, ['UP']);
        await drained(lab, screen);
        await atRest(screen);
        screen.send('q');
        await screen.ended;
        const beyond = [...screen.sent()].filter((sign) => sign > '~');
        assert.equal(beyond, [], 'a vt220 has ASCII alone');
        assert.is(coloured(screen), false, 'and no colours');
      },
      { text: bare, terminal: SERIAL },
    ),
);

function coloured(screen: Screen): boolean {
  return screen
    .sent()
    .split('\u001b[')
    .some((piece) => /^[0-9;]*[34][0-7]m/.test(piece));
}

/** A pool with its members and monitor, and the service; then the diff of it. */
async function formed(screen: Screen): Promise<void> {
  screen.send('7');
  await screen.until('the objects', (text) => /^unit /m.test(text));
  await begun(screen, 'pool');
  for (const [index, address] of inside.entries()) {
    await toField(screen, 'members');
    screen.send('a');
    await screen.until('its form', (text) => text.includes(`pools.web.members[${index}] -`));
    await fill(screen, 'address', address);
    await fill(screen, 'port', '8080');
    screen.send('\u001b');
    await screen.until('the pool', (text) => text.includes('pools.web -'));
  }
  await choose(screen, 'monitor', 'http');
  for (const [label, value] of [
    ['path', '/healthz'],
    ['interval', '500ms'],
    ['timeout', '400ms'],
  ] as const) {
    await fill(screen, label, value);
  }
  screen.send('\u001b');
  await screen.until('the objects', (text) => /^pool +web/m.test(text));
  await begun(screen, 'service');
  await fill(screen, 'address', web.address);
  await fill(screen, 'port', '80');
  await choose(screen, 'protocol', 'tcp');
  await choose(screen, 'forwarding', 'nat');
  await fill(screen, 'pool', 'web');
  screen.send('D');
  await screen.until('what it changes', (text) =>
    /differences to revision 1[^]*\+ pools\.web[^]*\+ services\.web/.test(text),
  );
}

async function begun(screen: Screen, kind: 'pool' | 'service'): Promise<void> {
  screen.send('n');
  await pick(screen, kind);
  await screen.until('its name', (text) => text.includes(`Name of the ${kind}`));
  screen.send('web\r');
  await screen.until('its form', (text) => text.includes(`${kind}s.web -`));
}

/** The question before a commit. */
async function answered(screen: Screen, comment: string, time: string): Promise<void> {
  await screen.until('the question', (text) => /Goes back +< 60s >/.test(text));
  screen.send(`${comment}\r${time}\r`);
  await screen.until('that it is done', (text) => !text.includes('Goes back '));
}

async function drained(lab: Lab, screen: Screen): Promise<void> {
  const load = await lab.load(web);
  const served = async (what: string, has: (by: Readonly<Record<string, number>>) => boolean) => {
    const by: Record<string, number> = {};
    await until(what, 20_000, async () => {
      const { byMember, failed, failures } = await load.mark(what);
      assert.is(failed, 0, JSON.stringify(failures));
      for (const [name, count] of Object.entries(byMember)) by[name] = (by[name] ?? 0) + count;
      return has(by) || JSON.stringify(by);
    });
    return by;
  };
  await served('all three serve', (by) => Object.keys(by).length === 3);
  screen.send(`4/${second}\r`);
  await screen.until('one of them', (text) => text.includes("1 of 3 match '10.77.0.12'"));
  screen.send('d');
  await screen.until('the question', (text) => text.includes(`Drain member ${second}:8080`));
  screen.send('y');
  await screen.until('that it drains', (text) => text.includes('- DRAINING'));
  await lab.unit.untilMembers([second], ['DRAINING']);
  await load.mark('it drains');
  const others = await served(
    'the others serve on',
    (by) => (by['member-1'] ?? 0) > 50 && (by['member-3'] ?? 0) > 50,
  );
  assert.is(others['member-2'], undefined, 'a member that drains is given no connection');
  screen.send('e');
  await screen.until('the question', (text) => text.includes(`Enable member ${second}:8080`));
  screen.send('y');
  await screen.until('that it serves', (text) => text.includes('+ UP'));
  await served('it serves again', (by) => (by['member-2'] ?? 0) > 0);
  const { failed, failures } = await load.stop();
  assert.is(failed, 0, JSON.stringify(failures));
}

/** What a line of 9,600 baud carries in a second, in bytes. */
const LINE = 960;

/** Ages and counters go on. It takes some 1.5 % of a core and tens of bytes a second. */
async function atRest(screen: Screen): Promise<void> {
  screen.send('1');
  await screen.until('the overview', (text) => text.includes('[1 Overview]'));
  const seconds = 3;
  const [bytes, used] = [screen.written(), cpuOf(screen.pid)];
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const wrote = (screen.written() - bytes) / seconds;
  assert.ok(wrote < LINE / 2, `${wrote} bytes a second at rest`);
  const cpu = (cpuOf(screen.pid) - used) / seconds;
  assert.ok(cpu < 0.1, `${cpu} of a core at rest`);
}

/** Seconds, of proc_pid_stat(5): utime and stime, in ticks of 10 ms. */
function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

test.run();
