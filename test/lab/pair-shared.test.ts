/** Two daemons as a pair: certificates, TLS sessions and cookies of one are good at the other. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { CertificateRow, RouterRow } from '../../appliance/api/contract.js';
import { needs } from '../support/needs.js';
import { TestAuthority } from '../support/tls-material.js';
import { within } from './commands.js';
import { PairLab } from './pair-lab.js';
import { addressAt, labPaths } from './topology.js';
import { until, type Unit } from './unit.js';

const test = suite('what a pair shares');

const serviceAddress = addressAt(90, 4, 'outside');

/** Waits until a unit has the shared address, and the other one has not. */
async function untilMaster(unit: Unit): Promise<void> {
  await until(`${unit.name} is master`, 30_000, async () => {
    const rows = await unit.get<RouterRow[]>('/v1/routers');
    return rows.some(({ role }) => role === 'master') || JSON.stringify(rows);
  });
}

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

        // An even address: unit-a has it while both are well.
        await lab.apply('unit-a', {
          pair: { 'preempt-delay': '500ms', 'advertisement-interval': '300ms' },
          services: {
            shop: {
              listen: { address: serviceAddress, port: 443, protocol: 'https' },
              certificates: ['shop'],
              routes: [{ respond: { status: 200, body: 'here' } }],
            },
          },
        } as { readonly unit?: object });
        const session = join(labPaths(process.pid).files, 'session');
        const shake = (version: string, flag: string): string =>
          client(lab, [
            'sh',
            '-c',
            `printf 'GET / HTTP/1.1\\r\\nHost: shop.example\\r\\nConnection: close\\r\\n\\r\\n' | openssl s_client -connect ${serviceAddress}:443 -servername shop.example ${version} -ign_eof ${flag} ${session}`,
          ]);
        const answered = async (version: string, flag: string): Promise<string> => {
          let said = '';
          await until(`an answer by ${version}`, 30_000, async () => {
            said = shake(version, flag);
            return /^(New|Reused), TLS/m.test(said) || said;
          });
          return said;
        };
        for (const version of ['-tls1_3', '-tls1_2']) {
          await untilMaster(lab.a);
          assert.match(await answered(version, '-sess_out'), /^New, TLS/m);
          await lab.a.must('pair', 'failover', '--all');
          await untilMaster(lab.b);
          const second = await answered(version, '-sess_in');
          assert.match(second, /^Reused, TLS/m, `${version}: unit-b goes on with it`);
          await lab.a.must('pair', 'failover', '--all', '--cancel');
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
