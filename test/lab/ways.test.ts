/** Routes and neighbours that a unit tracks, against the kernel; and what a speaker makes of them. */
import { spawnSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { joinNetworkNamespace } from '../../native/ffi/namespace.js';
import { Poller } from '../../native/ffi/poller.js';
import { WayWatch } from '../../appliance/net/way-watch.js';
import { needs } from '../support/needs.js';
import { groupText, VrrpStage, type UnitName } from './vrrp-stage.js';

const test = suite('tracked ways');
const lab = needs.lab(test);
const PATIENCE_MS = 20_000;
/** Of the other unit: the host's own would be answered by the bridge's namespace at any port. */
const GATEWAY = '10.9.0.2';

function ip(stage: VrrpStage, unit: UnitName, line: string): string {
  const words = ['-n', stage.namespace(unit), ...line.split(' ')];
  const { status, stdout, stderr } = spawnSync('ip', words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${line}: ${stderr}`);
  return stdout;
}

/** What a watch in a unit's namespace knows, and waiting for it. */
async function watching(
  stage: VrrpStage,
  unit: UnitName,
  work: (watch: WayWatch, until: (name: string, well: boolean) => Promise<void>) => Promise<void>,
): Promise<void> {
  const [eth0] = JSON.parse(ip(stage, unit, '-j link show eth0')) as { ifindex: number }[];
  let changed = (): void => undefined;
  const poller = new Poller();
  const leave = joinNetworkNamespace(`/run/netns/${stage.namespace(unit)}`);
  const ignore = (): void => undefined;
  let watch: WayWatch;
  try {
    watch = new WayWatch({
      poller,
      log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
      interfaceOf: (address) =>
        /^(10\.9\.0|fd09:)/.test(address) ? (eth0?.ifindex ?? null) : null,
      onChange: () => changed(),
    });
  } finally {
    leave();
  }
  poller.ref();
  try {
    await work(
      watch,
      (name, well) =>
        new Promise((resolve, reject) => {
          const late = setTimeout(() => {
            reject(new Error(`${name} is not ${well}: ${JSON.stringify([...watch.well])}`));
          }, PATIENCE_MS);
          changed = () => {
            if (watch.well.get(name) !== well) return;
            clearTimeout(late);
            resolve();
          };
          changed();
        }),
    );
  } finally {
    watch.close();
    poller.unref();
    poller.close();
  }
}

lab('routes that come and go, also with their interface', () =>
  VrrpStage.run((stage) =>
    watching(stage, 'a', async (watch, until) => {
      watch.want({ routes: ['0.0.0.0/0', '192.0.2.0/24', 'fd77::/32'], neighbours: [] });
      for (const route of ['0.0.0.0/0', '192.0.2.0/24', 'fd77::/32']) await until(route, false);
      ip(stage, 'a', `route add default via ${GATEWAY}`);
      ip(stage, 'a', `route add 192.0.2.0/24 via ${GATEWAY}`);
      ip(stage, 'a', 'route add fd77::/32 via fd09::2');
      for (const route of ['0.0.0.0/0', '192.0.2.0/24', 'fd77::/32']) await until(route, true);
      ip(stage, 'a', 'route del 192.0.2.0/24');
      await until('192.0.2.0/24', false);
      assert.is(watch.well.get('0.0.0.0/0'), true);
      stage.port('a', 'down');
      await until('0.0.0.0/0', false);
      stage.port('a', 'up');
      await until('0.0.0.0/0', true);
      ip(stage, 'a', 'link set eth0 down');
      await until('0.0.0.0/0', false);
    }),
  ),
);

lab('a neighbour behind a switch that loses frames and keeps the link is missed', () =>
  VrrpStage.run((stage) =>
    watching(stage, 'a', async (watch, until) => {
      watch.want({ routes: [], neighbours: [GATEWAY, 'fd09::2', '10.9.0.77', '192.0.2.1'] });
      for (const one of [GATEWAY, 'fd09::2']) await until(one, true);
      await until('192.0.2.1', false);
      await until('10.9.0.77', false);
      stage.isolate('a', true);
      for (const one of [GATEWAY, 'fd09::2']) await until(one, false);
      assert.match(ip(stage, 'a', 'link show eth0'), /LOWER_UP/, 'the link stays up');
      stage.isolate('a', false);
      for (const one of [GATEWAY, 'fd09::2']) await until(one, true);
    }),
  ),
);

lab('a neighbour that the unit speaks to already is missed as soon', () =>
  VrrpStage.run(async (stage) => {
    const words = [
      `--net=/run/netns/${stage.namespace('a')}`,
      'ping',
      '-c',
      '1',
      '-W',
      '5',
      GATEWAY,
    ];
    const { status, stdout } = spawnSync('nsenter', words, { encoding: 'utf8' });
    assert.is(status, 0, stdout);
    await watching(stage, 'a', async (watch, until) => {
      watch.want({ routes: [], neighbours: [GATEWAY] });
      await until(GATEWAY, true);
      stage.isolate('a', true);
      const cut = performance.now();
      await until(GATEWAY, false);
      const took = performance.now() - cut;
      // The kernel itself would believe in it for half a minute.
      assert.ok(took < 10_000, `missed after ${took} ms`);
    });
  }),
);

lab('a group with a second network that is well moves when its first one only loses frames', () =>
  VrrpStage.run(async (stage) => {
    stage.cable();
    const subject = `neighbour ${GATEWAY}`;
    const tracked = [{ name: subject, weight: 253 }];
    const [front] = groupText({}).routers;
    const [back] = groupText({
      ...{ name: 'gateway', interface: 'pair0', vrid: 52, addresses: ['10.9.9.80'] },
    }).routers;
    if (front === undefined || back === undefined) throw new Error('no router');
    const group = groupText({}, { routers: [front, back], tracked });
    const [a, b] = [stage.weir('a'), stage.weir('b')];
    await a.configure([{ ...group, priority: 200 }]);
    await a.becomes('master');
    await b.configure([group]);
    await b.becomes('backup');
    await watching(stage, 'a', async (watch, until) => {
      watch.want({ routes: [], neighbours: [GATEWAY] });
      await until(GATEWAY, true);
      const told = { a: a.messages.length, b: b.messages.length };
      stage.isolate('a', true);
      await until(GATEWAY, false);
      assert.equal(
        b.messages.slice(told.b).filter(({ kind }) => kind === 'role'),
        [],
        'the other network alone does not move it',
      );
      a.tell({ kind: 'track', name: subject, well: false });
      await b.becomes('master', told.b);
      await a.becomes('backup', told.a);
      assert.ok(stage.reached('10.9.0.80', 3));
    });
  }),
);

test.run();
