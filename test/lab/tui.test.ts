/**
 * The dashboard against a real daemon: a killed member is seen, a member is drained by a key, and the
 * daemon may go and come back.
 */
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { MemberRow, Status } from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { withTerminal, type Screen } from '../support/terminal.js';
import { ask } from './asks.js';
import { everyPath } from './configuration.js';
import { addressesOf, Lab } from './lab.js';
import { until } from './unit.js';

const test = suite('dashboard');
const program = fileURLToPath(new URL('../../appliance/cli/weir.js', import.meta.url));

async function withDashboard(act: (lab: Lab, screen: Screen) => Promise<void>): Promise<void> {
  const lab = await Lab.open(everyPath);
  try {
    await withTerminal(
      {
        command: [process.execPath, program, 'tui'],
        environment: { TERM: 'xterm-256color', LC_ALL: 'C.UTF-8', WEIR_SOCKET: lab.unit.socket },
        columns: 160,
        rows: 48,
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
      while (!screen.text().some((line) => line.startsWith('weight '))) {
        const before = screen.text().join('\n');
        screen.send('j');
        await screen.until('the next field', (text) => text !== before);
      }
      screen.send('\r');
      await screen.until('the field', (text) => text.includes('.weight \u2500'));
      screen.send('\u0015999\r');
      await screen.until('what the daemon says of 999', (text) =>
        text.includes('Candidate: 1 error'),
      );
      assert.is(await weights(), '3');
      screen.send('\r\u00159\r');
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

test.run();
