/** The owner of the VRRP speaker: what it tells it and when, what it makes of what it hears. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Failovers } from '../../../appliance/control/failovers.js';
import { heartbeats } from '../../../appliance/ha/vrrp/paths/settings.js';
import type { PathsSource } from '../../../appliance/control/heartbeat-paths.js';
import {
  NO_PAIR,
  type OtherUnit,
  type PairTables,
} from '../../../appliance/control/compile-pair.js';
import { Roles, type RolesOptions, type Speaker } from '../../../appliance/control/roles.js';
import type { GroupText, PathsText } from '../../../appliance/ha/vrrp/speaker/messages.js';
import { EventLog } from '../../../appliance/telemetry/event-log.js';

const test = suite('roles');
type Hears = Parameters<RolesOptions['start']>[0];

const group = (name: string, router = name): GroupText => ({
  ...{ name, priority: 200, preempt: 'weaker', preemptDelay: 0 },
  routers: [
    {
      ...{ name: router, interface: 'eth0', vrid: 5, family: 4, version: 3, interval: 30 },
      ...{
        addresses: ['10.0.0.80'],
        checksum: 'message',
        password: null,
        peers: [],
        virtualMac: false,
      },
      otherAddresses: 'accept',
    },
  ],
  tracked: [
    { name: 'pools', weight: 253 },
    { name: `failover of ${name}`, weight: 253 },
  ],
});
const tables = (...groups: GroupText[]): PairTables => ({ ...NO_PAIR, groups });
const other = { name: 'other', natAddresses: [], flowsKnown: true };

const source: PathsSource = {
  ...{ key: 'ab'.repeat(32), port: 9348 },
  paths: [
    {
      ...{ name: '10.9.9.0/24', interface: 'eth2', family: 4 },
      ...{ local: '10.9.9.1', remote: '10.9.9.2' },
    },
    {
      ...{ name: '10.0.0.0/24', interface: 'eth0', family: 4 },
      ...{ local: '10.0.0.1', remote: '10.0.0.2' },
    },
  ],
};

class FakeSpeaker implements Speaker {
  readonly did: string[] = [];
  paths: PathsText | null = null;
  readonly hears: Hears;

  constructor(hears: Hears) {
    this.hears = hears;
  }

  configure(groups: readonly GroupText[], paths: PathsText | null = null): void {
    this.paths = paths;
    this.did.push(`configure ${groups.map(({ name }) => name).join(' ')}`);
    this.hears.onMessage({ kind: 'configured' });
  }
  track(name: string, well: boolean): void {
    this.did.push(`track ${name} ${well}`);
  }
  askStatus(): void {
    const router = 'front';
    const counts = { sent: 1, received: 2, otherAddresses: 0, takeovers: 3, announcements: 0 };
    this.hears.onMessage({
      ...{ kind: 'status', rejected: {}, last: true },
      lateness: { turns: [4, 1], worst: null, leastLease: 40 },
      routers: [
        {
          ...{ router, role: 'master', priority: 77, interval: 30, rejected: {}, ...counts },
          master: { address: '10.0.0.3', priority: 9 },
        },
      ],
    });
  }
  release(): void {
    this.did.push('release');
  }
  stop(): void {
    this.did.push('stop');
    setImmediate(() => this.hears.onExit('it was told to', 0));
  }
}

async function withRoles(
  work: (stage: {
    roles: Roles;
    speakers: FakeSpeaker[];
    events: EventLog;
    started: () => Promise<FakeSpeaker>;
  }) => Promise<void>,
  {
    left = false,
    failovers,
    peer = other,
    paths = (): PathsSource | null => null,
  }: {
    left?: boolean;
    failovers?: Failovers;
    peer?: OtherUnit | null;
    paths?: () => PathsSource | null;
  } = {},
): Promise<void> {
  const speakers: FakeSpeaker[] = [];
  let wake: () => void = () => undefined;
  const failures: unknown[] = [];
  const events = new EventLog({ onListenerError: (error) => failures.push(error) });
  const roles = new Roles({
    ...{ other: () => peer, events, paths },
    ...(failovers === undefined ? {} : { failovers }),
    log: { info: () => undefined, warn: () => undefined },
    adopt: async (hears) => {
      if (!left) return null;
      const speaker = new FakeSpeaker(hears);
      speakers.push(speaker);
      return speaker;
    },
    start: (hears) => {
      const speaker = new FakeSpeaker(hears);
      speakers.push(speaker);
      wake();
      return speaker;
    },
  });
  let taken = 0;
  const started = async (): Promise<FakeSpeaker> => {
    while (speakers.length <= taken) await new Promise<void>((resolve) => (wake = resolve));
    const speaker = speakers[taken++];
    if (speaker === undefined) throw new Error('no speaker');
    return speaker;
  };
  try {
    await work({ roles, speakers, events, started });
  } finally {
    await roles.close();
  }
  assert.equal(failures, []);
}

test('no speaker without virtual routers; one that is loaded is told what is tracked, then all', () =>
  withRoles(async ({ roles, speakers, started }) => {
    await roles.prepare(tables());
    roles.follow(tables());
    assert.is(speakers.length, 0);
    roles.track('pools', false);
    const prepared = roles.prepare(tables(group('front')));
    const speaker = await started();
    speaker.hears.onMessage({ kind: 'loaded', wishes: [] });
    await prepared;
    assert.equal(speaker.did, [], 'not before the network let go');
    roles.follow(tables(group('front')));
    assert.equal(speaker.did, [
      'track pools false',
      'track failover of front true',
      'configure front',
    ]);
    roles.follow(tables(group('front')));
    roles.track('pools', false);
    assert.is(speaker.did.length, 3, 'the same is not told twice');
    roles.track('pools', true);
    assert.is(speaker.did.at(-1), 'track pools true');
    roles.follow(tables());
    assert.is(speaker.did.at(-1), 'stop', 'nothing to speak of any more');
  }));

test('the speaker of an earlier daemon is taken up as it is, and left to the next one', async () => {
  let last: FakeSpeaker | undefined;
  await withRoles(
    async ({ roles, speakers }) => {
      await roles.begin();
      const [speaker] = speakers;
      last = speaker;
      speaker?.hears.onMessage({ kind: 'loaded', wishes: [] });
      speaker?.hears.onMessage({ kind: 'role', router: 'front', role: 'master', why: 'so' });
      assert.equal(speaker?.did, [], 'it goes on until something is known');
      await roles.prepare(tables(group('front')));
      roles.follow(tables(group('front')));
      assert.is(speaker?.did.at(-1), 'configure front');
      assert.is(speakers.length, 1);
      assert.equal(roles.summary, { master: 1, backup: 0, down: 0 });
    },
    { left: true },
  );
  assert.is(last?.did.at(-1), 'release');
});

test('roles are events and rows; what goes wrong is an alarm until it is over', () =>
  withRoles(async ({ roles, events, started }) => {
    roles.follow(tables(group('front')));
    const speaker = await started();
    assert.equal(
      (await roles.rows()).map(({ role, priority }) => [role, priority]),
      [['down', null]],
    );
    speaker.hears.onMessage({ kind: 'loaded', wishes: [] });
    speaker.hears.onMessage({ kind: 'role', router: 'front', role: 'master', why: 'it is so' });
    const [row] = await roles.rows();
    assert.equal(
      [row?.role, row?.why, row?.priority, row?.configuredPriority, row?.master?.address],
      ['master', 'it is so', 77, 200, '10.0.0.3'],
    );
    assert.equal(roles.summary, { master: 1, backup: 0, down: 0 });
    const [event] = events.latest(1);
    assert.equal(
      [event?.kind, event?.message, event?.subject],
      [
        'role-changed',
        'virtual router front is master: it is so',
        { router: 'front', before: 'down', after: 'master' },
      ],
    );
    speaker.hears.onMessage({ kind: 'problem', subject: 'x', message: 'cannot send' });
    speaker.hears.onMessage({ kind: 'refused', reason: 'no' });
    assert.equal(
      roles.alarms().map(({ message }) => message),
      ['cannot send', 'The VRRP speaker refuses its settings: no'],
    );
    speaker.hears.onMessage({ kind: 'problem', subject: 'x', message: null });
    speaker.hears.onMessage({ kind: 'configured' });
    assert.equal(roles.alarms(), []);
  }));

test('a speaker that dies is an error, holds nothing, and is started again with all it must know', () =>
  withRoles(async ({ roles, events, started }) => {
    roles.follow(tables(group('front')));
    const first = await started();
    first.hears.onMessage({ kind: 'loaded', wishes: [] });
    first.hears.onMessage({ kind: 'role', router: 'front', role: 'master', why: 'it is so' });
    roles.track('pools', false);
    first.hears.onExit('signal SIGKILL', 1);
    assert.equal(roles.summary, { master: 0, backup: 0, down: 1 });
    assert.match(roles.alarms()[0]?.message ?? '', /ended \(signal SIGKILL\).*started again/);
    assert.ok(events.latest(10).some(({ severity }) => severity === 'error'));
    await roles.prepare(tables(group('front')));
    const second = await started();
    second.hears.onMessage({ kind: 'loaded', wishes: [] });
    assert.equal(second.did, [
      'track pools false',
      'track failover of front true',
      'configure front',
    ]);
    assert.equal(roles.alarms(), []);
  }));

test('failover: the group is made weaker, and the answer says who kept what', () =>
  withRoles(async ({ roles, started }) => {
    const asked = { cancel: false, author: 'root' };
    const refused = async (router: string | null, code: string): Promise<void> => {
      const error: unknown = await roles.failover({ ...asked, router }).catch((e: unknown) => e);
      assert.is((error as { code?: string }).code, code);
    };
    await refused(null, 'conflict');
    roles.follow(tables(group('front'), group('shared/odd', 'odd/eth0/ipv4')));
    await refused(null, 'unavailable');
    const speaker = await started();
    speaker.hears.onMessage({ kind: 'loaded', wishes: [] });
    await refused('frnt', 'not-found');
    speaker.hears.onMessage({ kind: 'role', router: 'front', role: 'master', why: 'so' });
    const done = roles.failover({ ...asked, router: 'front' });
    assert.is(speaker.did.at(-1), 'track failover of front false');
    speaker.hears.onMessage({ kind: 'role', router: 'front', role: 'backup', why: 'stronger' });
    const { routers, remaining } = await done;
    assert.equal(
      routers.map(({ router, failover }) => [router, failover]),
      [['front', true]],
    );
    assert.equal(remaining, []);
    await roles.failover({ ...asked, router: 'odd/eth0/ipv4', cancel: true });
    assert.is(speaker.did.at(-1), 'track failover of front false', 'it was not failed over');
    await roles.failover({ ...asked, router: null, cancel: true });
    assert.is(speaker.did.at(-1), 'track failover of front true');
  }));

test('a failover holds over a restart of the daemon, for later groups too, until it is taken back', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-roles-'));
  const file = join(folder, 'failovers.json');
  const problems: unknown[] = [];
  /** A run of the daemon, its speaker loaded. */
  const run = (
    groups: readonly GroupText[],
    work: (roles: Roles, speaker: FakeSpeaker) => Promise<unknown>,
    peer: OtherUnit | null = other,
  ): Promise<void> =>
    withRoles(
      async ({ roles, started }) => {
        roles.follow(tables(...groups));
        const speaker = await started();
        speaker.hears.onMessage({ kind: 'loaded', wishes: [] });
        await work(roles, speaker);
      },
      { failovers: new Failovers(file, (problem) => problems.push(problem)), peer },
    );
  const asked = { router: null, cancel: false, author: 'root' };
  const [front, even, odd] = [group('front'), group('even'), group('odd')];
  try {
    await run([front], (roles) => roles.failover(asked));
    await run([even, odd], async (roles, speaker) => {
      assert.equal(roles.failovers, ['even', 'odd'], 'all of what there is now');
      assert.ok(speaker.did.includes('track failover of even false'), speaker.did.join());
      await roles.failover({ ...asked, router: 'even', cancel: true });
    });
    await run([even, odd], async (roles, speaker) => {
      assert.equal(roles.failovers, ['odd']);
      assert.ok(speaker.did.includes('track failover of even true'), speaker.did.join());
      roles.follow(tables(even));
      roles.follow(tables(even, odd));
      assert.equal(roles.failovers, [], 'the group that was meant is over');
      await roles.failover(asked);
      roles.follow(tables());
    });
    await run([even], async (roles) => assert.equal(roles.failovers, ['even'], 'still a pair'));
    writeFileSync(file, '{');
    await run([even], async (roles) => assert.equal(roles.failovers, []));
    assert.match(String(problems[0]), /failovers\.json is damaged: remove it/);
    rmSync(folder, { recursive: true });
    await run([even], async (roles) => {
      const error: unknown = await roles.failover(asked).catch((e: unknown) => e);
      assert.match(String(error), /so nothing was done/);
      assert.equal(roles.failovers, []);
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the speaker is told of paths as they change; how they are is rows and events', async () => {
  let current: PathsSource | null = null;
  await withRoles(
    async ({ roles, events, started }) => {
      roles.follow(tables(group('front')));
      const speaker = await started();
      speaker.hears.onMessage({ kind: 'loaded', wishes: [] });
      assert.is(speaker.paths, null);
      assert.equal(roles.paths(), []);
      current = source;
      roles.pathsChanged();
      assert.equal(speaker.paths, { ...source, ...heartbeats(30) });
      const told = speaker.did.length;
      roles.pathsChanged();
      assert.is(speaker.did.length, told, 'the same once');

      const [cable = '', lan = ''] = source.paths.map(({ name }) => name);
      const say = (one: boolean, other: boolean): void => {
        speaker.hears.onMessage({
          kind: 'paths',
          paths: [
            { path: cable, alive: one },
            { path: lan, alive: other },
          ],
        });
      };
      say(false, false);
      assert.is(events.latest(9).length, 0, 'nothing is missed before it was heard');
      say(true, true);
      say(false, true);
      assert.equal(
        roles.paths().map(({ path, heard, local }) => [path, heard, local]),
        [
          [cable, false, '10.9.9.1'],
          [lan, true, '10.0.0.1'],
        ],
      );
      const [event] = events.latest(1);
      assert.equal(
        [event?.severity, event?.message],
        ['warning', `heartbeats of other no longer come by eth2 (${cable})`],
      );
      speaker.hears.onExit('killed', 0);
      assert.equal(
        roles.paths().map(({ heard }) => heard),
        [null, null],
      );
    },
    { paths: () => current },
  );
});

test.run();
