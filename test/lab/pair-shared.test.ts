/** Two daemons as a pair: certificates, TLS sessions and cookies of one are good at the other. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { CertificateRow } from '../../appliance/api/certificate-contract.js';
import { needs } from '../support/needs.js';
import { TestAuthority } from '../support/tls-material.js';
import { within } from './commands.js';
import { PairLab } from './pair-lab.js';
import { addressOf, labPaths, type UnitName } from './topology.js';
import { until, type Unit } from './unit.js';

const test = suite('what a pair shares');

/** Each unit serves at its own address, so that a client says which one it means. */
const at = (unit: UnitName): string => `${addressOf(unit, 4, 'outside')}:443`;

const fingerprints = async (unit: Unit): Promise<string[]> =>
  (await unit.get<CertificateRow[]>('/v1/certificates'))
    .map(({ name, fingerprint, problem }) => `${name} ${fingerprint} ${problem ?? 'good'}`)
    .sort();

async function untilEqual(lab: PairLab): Promise<void> {
  await until('equal certificates on both units', 30_000, async () => {
    const [a, b] = await Promise.all([fingerprints(lab.a), fingerprints(lab.b)]);
    return a.join() === b.join() || `${a.join()} and ${b.join()}`;
  });
}

/** A command at the client, and all that it said. */
function client(lab: PairLab, words: readonly string[]): string {
  const [command = '', ...rest] = within(lab.topology.namespace('client'), words);
  const { stdout, stderr } = spawnSync(command, rest, {
    input: '',
    encoding: 'utf8',
    timeout: 20_000,
  });
  return stdout + stderr;
}

needs.lab(test)(
  'a certificate of one unit, its sessions and its cookies are good at the other',
  () =>
    PairLab.run({ members: true }, async (lab) => {
      const authority = new TestAuthority();
      try {
        const issue = (): readonly [string, string] => {
          const { certificateFile, keyFile } = authority.issue(['shop.example'], 'ecdsa');
          return [certificateFile, keyFile];
        };
        await lab.a.must('cert', 'import', 'early', ...issue());
        await lab.pair();
        await untilEqual(lab);
        await lab.a.must('cert', 'import', 'shop', ...issue());
        assert.match(
          await lab.b.must('cert', 'list'),
          /^shop /m,
          'there when the command returned',
        );
        assert.equal(await fingerprints(lab.a), await fingerprints(lab.b));
        await lab.b.must('cert', 'remove', 'early');
        assert.not.match(await lab.a.must('cert', 'list'), /^early /m);

        for (const name of ['unit-a', 'unit-b'] as const) {
          const [address, port] = at(name).split(':');
          await lab.apply(name, {
            pools: {
              web: {
                members: [1, 2, 3].map((index) => ({
                  address: addressOf(`member-${index as 1 | 2 | 3}`, 4),
                  port: 80,
                })),
              },
            },
            services: {
              shop: {
                listen: { address, port: Number(port), protocol: 'https' },
                certificates: ['shop'],
                routes: [{ respond: { status: 200, body: 'here' } }],
              },
            },
          } as { readonly unit?: object });
        }
        const session = join(labPaths(process.pid).files, 'session');
        for (const version of ['-tls1_3', '-tls1_2']) {
          const shake = (unit: UnitName, flag: string): string =>
            client(lab, [
              'sh',
              '-c',
              `printf 'GET / HTTP/1.1\\r\\nHost: shop.example\\r\\nConnection: close\\r\\n\\r\\n' | openssl s_client -connect ${at(unit)} -servername shop.example ${version} -ign_eof ${flag} ${session}`,
            ]);
          let first = '';
          await until(`unit-a answers by ${version}`, 30_000, async () => {
            first = shake('unit-a', '-sess_out');
            return /^(New|Reused), TLS/m.test(first) || first;
          });
          assert.match(first, /^New, TLS/m);
          let second = '';
          await until(`unit-b answers by ${version}`, 30_000, async () => {
            second = shake('unit-b', '-sess_in');
            return /^(New|Reused), TLS/m.test(second) || second;
          });
          assert.match(second, /^Reused, TLS/m, `${version}: unit-b goes on with it`);
        }

        await lab.b.end('SIGKILL');
        const alone = await lab.a.weir('cert', 'import', 'late', ...issue());
        assert.is(alone.status, 0, alone.stderr);
        assert.match(alone.stdout + alone.stderr, /unit-b is away/);
        await lab.b.start();
        await untilEqual(lab);
        assert.match(await lab.b.must('cert', 'list'), /^late /m);
      } finally {
        authority.close();
      }
    }),
);

test.run();
