/**
 * Clients of the proxy when their unit loses its power: an open connection is reset at its first stray
 * packet by the unit that has taken the address over, so who had asked something asks once more and is
 * answered, and a client with a cookie stays with its member. (TLS sessions: pair-shared.test.ts.)
 */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { MemberRow } from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { TestAuthority } from '../support/tls-material.js';
import { last, run, start, within } from './commands.js';
import { Holding } from './holding.js';
import { PairLab } from './pair-lab.js';
import { httpPort } from './server-process.js';
import { said } from './servers.js';
import type { StrayClient, StrayEnd } from './stray-process.js';
import { addressAt, addressOf, memberNames } from './topology.js';
import { until } from './unit.js';

const test = suite('clients of the proxy of a pair');
const program = fileURLToPath(new URL('./stray-process.js', import.meta.url));
const families = [4, 6] as const;
/** Even, so unit-a has it while both are well. */
const addresses = families.map((family) => addressAt(90, family, 'outside'));
/** A client that is reset waits for nothing; one that hangs would for as long as this, and more. */
const PROMPT = 5000;

const kinds = [{ receives: false }, { receives: true }, { receives: false, asks: true }] as const;
const clients: readonly StrayClient[] = addresses.flatMap((address) =>
  [false, true].flatMap((tls) =>
    kinds.map((kind) => ({ address, port: tls ? 443 : 80, tls, ...kind })),
  ),
);

const document = {
  pair: { 'preempt-delay': '500ms', 'advertisement-interval': '300ms', prefer: 'unit-a' },
  pools: {
    web: {
      algorithm: 'round-robin',
      members: memberNames.map((name) => ({ address: addressOf(name, 4), port: httpPort })),
    },
  },
  services: Object.fromEntries<object>(
    addresses.flatMap((address, index): [string, object][] => [
      [
        `plain-${index}`,
        {
          listen: { address, port: 80, protocol: 'http' },
          ...{ pool: 'web', persistence: { type: 'cookie' } },
        },
      ],
      [
        `secure-${index}`,
        {
          listen: { address, port: 443, protocol: 'https' },
          ...{ pool: 'web', certificates: ['shop'] },
        },
      ],
    ]),
  ),
};

/** Asks once as a client with these cookies: the member that answered, and the cookie that was set. */
async function visit(lab: PairLab, cookie: string | null): Promise<readonly [string, string]> {
  const url = `http://${addresses[0] ?? ''}/`;
  const more = cookie === null ? [] : ['--cookie', cookie];
  const words = ['curl', '-sS', '--max-time', '10', '--include', ...more, url];
  const text = await run('nsenter', within(lab.topology.namespace('client'), words).slice(1));
  const set = /^set-cookie: ([^;\r\n]+)/im.exec(text)?.[1] ?? cookie ?? '';
  return [text.trim().split('\n').at(-1) ?? '', set];
}

needs.lab(test)('they are reset at once, and stay with their members', () =>
  PairLab.run({ members: true }, async (lab) => {
    const authority = new TestAuthority();
    try {
      const { certificateFile, keyFile } = authority.issue(['shop.example'], 'ecdsa');
      await lab.a.must('cert', 'import', 'shop', certificateFile, keyFile);
      await lab.pair();
      await lab.apply('unit-a', document as { readonly unit?: object });
      const holding = new Holding(lab, addresses);
      await holding.until(addresses);
      const members = (await lab.a.get<MemberRow[]>('/v1/members')).map((row) => row.address);
      await Promise.all([lab.a.untilMembers(members, ['UP']), lab.b.untilMembers(members, ['UP'])]);
      // The first neighbour solicitation for an address that has just come may be lost.
      await until('the service answers', 20_000, async () => {
        const [member] = await visit(lab, null);
        return member.startsWith('member-') || member;
      });

      const before = [];
      for (let count = 0; count < 6; count += 1) before.push(await visit(lab, null));
      const met = new Set(before.map(([member]) => member));
      assert.is(met.size, memberNames.length, 'cookies of every member');
      const child = start(lab.topology.namespace('client'), [
        ...[...last, process.execPath, program, JSON.stringify(clients)],
      ]);
      await said(child, 'ready');

      await lab.powerOff('unit-a');
      await holding.untilAll('unit-b');
      if (child.stdout === null) throw new Error('a program without output');
      const lines = createInterface({ input: child.stdout });
      child.stdin?.write('speak\n');
      const [line] = (await once(lines, 'line')) as [string];
      const ends = JSON.parse(line) as StrayEnd[];
      for (const [index, { how, took }] of ends.entries()) {
        const { address, port, receives, asks } = clients[index] ?? { address: '', port: 0 };
        const what = asks === true ? ', asking' : receives === true ? ', receiving' : '';
        const who = `${address} ${port}${what}`;
        console.log(`${who}: ${how} after ${took} ms`);
        assert.is(how, asks === true ? '2 answered' : 'ECONNRESET', who);
        if (asks === true) continue;
        assert.ok(took < PROMPT, `${who}: ${took} ms`);
      }

      for (const [member, cookie] of before) {
        assert.is((await visit(lab, cookie))[0], member, `the client of ${member}`);
      }
    } finally {
      authority.close();
    }
  }),
);

test.run();
