/**
 * Two daemons as a pair: certificates, TLS sessions and cookies of one are good at the other, temporary
 * access entries are on both, what one sees of members the other knows, and a failover holds.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type {
  AccessView,
  CertificateRow,
  MemberDetail,
  PairView,
  RouterRow,
} from '../../appliance/api/contract.js';
import { joinNetworkNamespace } from '../../native/ffi/namespace.js';
import { needs } from '../support/needs.js';
import { Pebble } from '../support/pebble.js';
import { TestAuthority } from '../support/tls-material.js';
import { within } from './commands.js';
import { PairLab } from './pair-lab.js';
import { addressAt, addressOf, labPaths, memberNames } from './topology.js';
import { until, type Unit } from './unit.js';

const test = suite('what a pair shares');

const memberAddress = addressOf(memberNames[0], 4);
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

const well: Readonly<Record<string, RegExp>> = {
  Config: /^Config +revision \d+ \(shared id [0-9a-f]{8}\): unit-b has the same configuration$/m,
  Flows: /^Flows +each unit knows those of the other, /m,
  Shared: /^Shared +in step: 2 certificates, \d+ ticket keys?, 1 cookie secret, 1 access entry$/m,
};

async function accessEntries({ a, b }: PairLab): Promise<void> {
  const denied = async (unit: Unit): Promise<string[]> => {
    const { temporary } = await unit.get<AccessView>('/v1/access');
    return temporary.map(({ prefix, verdict }) => `${verdict} ${prefix}`);
  };
  await a.must('access', 'deny', '192.0.2.7', '--for', '1h');
  await b.must('access', 'deny', '198.51.100.0/24', '--for', '1h');
  for (const unit of [a, b]) {
    await until(`both entries on ${unit.name}`, 20_000, async () => {
      const seen = await denied(unit);
      return seen.length === 2 || seen.join();
    });
  }
  await b.must('access', 'remove', '192.0.2.7');
  await until('one entry on unit-a', 20_000, async () => {
    const seen = await denied(a);
    return seen.join() === 'deny 198.51.100.0/24' || seen.join();
  });
}

/** The way of unit-a to the members breaks and nothing shows it: the other unit takes over. */
async function brokenWay(lab: PairLab): Promise<void> {
  const peerSees = async (unit: Unit): Promise<string> => {
    const path = `/v1/pools/web/members/${encodeURIComponent(`${memberAddress}:8080`)}`;
    return (await unit.get<MemberDetail>(path)).peerSees?.state ?? 'nothing';
  };
  await until('unit-a knows that unit-b sees the member', 20_000, async () => {
    const seen = await peerSees(lab.a);
    return seen === 'up' || seen;
  });
  await untilMaster(lab.a);
  await lab.cut('inside', { unit: 'unit-a', silent: true });
  await untilMaster(lab.b);
  assert.is(await peerSees(lab.b), 'down');
  assert.match(
    await lab.a.must('show', 'events', '--kind', 'pair'),
    /unit-b reaches 1 member that this unit does not, so the way from here is broken/,
  );
  await lab.mend('inside', { unit: 'unit-a' });
  await untilMaster(lab.a);
}

/** Who answers each of eight sessions. */
async function answering(lab: PairLab): Promise<string[]> {
  const seen: string[] = [];
  for (let session = 0; session < 8; session += 1) {
    const words = ['-s', '-m', '2', '-H', `X-Session: ${session}`, `http://${serviceAddress}:81/`];
    await until(`an answer to session ${session}`, 20_000, async () => {
      seen[session] = client(lab, ['curl', ...words]).trim();
      return seen[session]?.includes('member-') === true || `"${seen[session] ?? ''}"`;
    });
  }
  return seen;
}

async function failoverHolds(lab: PairLab): Promise<void> {
  const { a, b } = lab;
  const before = await answering(lab);
  assert.equal(await answering(lab), before, 'each session stays with its member');
  await until('unit-b knows them', 20_000, async () => {
    const { standing } = await b.get<PairView>('/v1/pair');
    return (standing?.clients.taken ?? 0) >= before.length || JSON.stringify(standing?.clients);
  });
  await a.must('pair', 'failover', '--all');
  await untilMaster(b);
  assert.equal(await answering(lab), before, 'at the other unit too');
  await a.end('SIGTERM');
  await a.start();
  await until('unit-a knows what it was told', 20_000, async () => {
    const { standing } = await a.get<PairView>('/v1/pair');
    return standing?.failovers.join() === 'shared/even' || JSON.stringify(standing);
  });
  assert.ok((await b.get<RouterRow[]>('/v1/routers')).some(({ role }) => role === 'master'));
  await a.must('pair', 'failover', '--all', '--cancel');
  await untilMaster(a);
  const planned = await a.must('pair', 'prefer', 'unit-b', '--share', 'even', '--dry-run');
  assert.match(planned, new RegExp(`^ {2}${serviceAddress} {2}unit-a (→|->) unit-b$`, 'm'));
  await a.must('pair', 'prefer', 'unit-b', '--share', 'even');
  await untilMaster(b);
  await b.must('pair', 'prefer', 'none');
  await untilMaster(a);
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
          pools: {
            stay: {
              // Without what unit-a knows, unit-b would draw them anew.
              algorithm: 'random',
              members: memberNames.map((name) => ({ address: addressOf(name, 4), port: 8080 })),
            },
            web: {
              members: [{ address: memberAddress, port: 8080 }],
              monitor: {
                ...{ type: 'tcp', interval: '200ms', timeout: '200ms', rise: 2, fall: 2 },
              },
            },
          },
          services: {
            stay: {
              listen: { address: serviceAddress, port: 81, protocol: 'http' },
              pool: 'stay',
              persistence: { type: 'header', name: 'X-Session' },
            },
            web: {
              listen: { address: serviceAddress, port: 80, protocol: 'http' },
              pool: 'web',
            },
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

        await accessEntries(lab);
        await brokenWay(lab);
        await failoverHolds(lab);

        await lab.b.end('SIGKILL');
        const alone = await lab.a.weir('cert', 'import', 'late', ...issue());
        assert.is(alone.status, 0, alone.stderr);
        assert.match(alone.stdout + alone.stderr, /unit-b is away/);
        await lab.b.start();
        await untilEqual(lab);
        assert.match(await lab.b.must('cert', 'list'), /^late /m);
        await until('everything in step', 30_000, async () => {
          const status = await lab.a.must('pair', 'status');
          return ['Config', 'Flows', 'Shared'].every((name) => well[name]?.test(status)) || status;
        });
      } finally {
        authority.close();
      }
    }),
);

needs['acme-lab'](test)(
  'one unit orders a certificate from an authority, the other one answers the challenge, both have it',
  () =>
    PairLab.run({}, async (lab) => {
      await lab.pair();
      // Whatever is started now is in the client's network.
      const leave = joinNetworkNamespace(`/run/netns/${lab.topology.namespace('client')}`);
      const pebble = await Pebble.start(
        {},
        {},
        {
          host: addressOf('client', 4, 'outside'),
          unit: { address: serviceAddress, http: 80, tls: 443 },
        },
      ).finally(leave);
      try {
        const file = lab.file('pebble.pem', pebble.ca.toString('latin1'));
        await lab.a.must('cert', 'import', 'pebble', file, '--authority');
        const service = (port: number, protocol: string) => ({
          listen: { address: serviceAddress, port, protocol },
          routes: [{ respond: { status: 200, body: 'here' } }],
        });
        const base = {
          pair: { 'preempt-delay': '500ms', 'advertisement-interval': '300ms' },
          services: { plain: service(80, 'http') },
        };
        await lab.apply('unit-a', base as { readonly unit?: object });
        await untilMaster(lab.a);
        await lab.a.must('pair', 'failover', '--all');
        await untilMaster(lab.b);
        await lab.apply('unit-a', {
          ...base,
          certificates: {
            shop: {
              ...{ type: 'acme', names: ['shop.example'], directory: pebble.directory },
              ...{ authorities: ['pebble'], 'terms-agreed': true },
            },
          },
          services: {
            ...base.services,
            shop: { ...service(443, 'https'), certificates: ['shop'] },
          },
        } as { readonly unit?: object });
        for (const unit of [lab.a, lab.b]) {
          await until(`a certificate on ${unit.name}`, 30_000, async () => {
            const list = await fingerprints(unit);
            const found = list.find((line) => line.startsWith('shop '));
            return found?.endsWith(' good') === true || (await unit.must('show', 'events'));
          });
        }
        assert.equal(await fingerprints(lab.a), await fingerprints(lab.b));
        const obtained = /certificate shop was obtained/;
        assert.match(await lab.a.must('show', 'events'), obtained);
        assert.not.match(await lab.b.must('show', 'events'), obtained, 'it was not its turn');
        await until('the account on both units', 20_000, async () => {
          const { standing } = await lab.b.get<PairView>('/v1/pair');
          const kinds = standing?.shared.kinds ?? [];
          return (
            kinds.some(({ name, entries }) => name === 'acme-account' && entries === 1) || 'none'
          );
        });
      } finally {
        await pebble.end();
      }
    }),
);

test.run();
